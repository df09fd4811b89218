"""django-tenants, with the same migrations as the other ways to migrate a fleet."""

from benchmarks.comparators.schemas import *  # noqa: F403

MIGRATION_MODULES = {"catalog": "benchmarks.fleet_migrations"}
