"""How long an access token of the benchmarks is good."""

from datetime import timedelta

#: Longer than any run: the project's five minutes would end in the middle of one.
LIFETIME = timedelta(hours=12)
