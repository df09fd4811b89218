"""django-tenants, with the same migrations as the other ways to migrate a fleet."""

import os

from benchmarks.comparators.schemas import *  # noqa: F403

MIGRATION_MODULES = {"catalog": os.environ["BENCH_MIGRATIONS"]}
