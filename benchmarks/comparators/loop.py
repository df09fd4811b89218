"""A database each, and stock ``migrate`` for one after the other; the router keeps tables of users out."""

import os

from benchmarks.comparators.common import *  # noqa: F403
from benchmarks.comparators.common import database

NAMES = [f"l{number:05}" for number in range(int(os.environ["BENCH_TENANTS"]))]
FOLDER = os.environ.get("BENCH_FILES")  # files instead of databases
DATABASES = {"default": database("single")} | {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/{name}.sqlite3"}
    if FOLDER
    else database(name)
    for name in NAMES
}
DATABASE_ROUTERS = ["benchmarks.comparators.loop.Router"]
MIGRATION_MODULES = {"catalog": os.environ["BENCH_MIGRATIONS"]}


class Router:
    """Which tables are made where, as Django's documentation has it."""

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool:
        return (db == "default") is (app_label != "catalog")
