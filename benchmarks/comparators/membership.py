"""As ``single``, and a request is its user's only while they belong to the tenant."""

from benchmarks.comparators.common import REST_FRAMEWORK
from benchmarks.comparators.single import *  # noqa: F403

REST_FRAMEWORK = REST_FRAMEWORK | {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "benchmarks.comparators.people.authentication.MembershipAuthentication"
    ]
}
