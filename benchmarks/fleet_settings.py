"""Freehold, with a migration that is not rolled out yet."""

from __future__ import annotations

from benchmarks.freehold import *  # noqa: F403

MIGRATION_MODULES = {"catalog": "benchmarks.fleet_migrations"}
