"""The schema of one tenant: whether its database may be migrated, its stamp, its migrations."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from django.core.management.commands import makemigrations as stock_makemigrations
from django.core.management.commands import migrate as stock_migrate
from django.core.management.commands import showmigrations as stock_showmigrations
from django.core.management.commands import squashmigrations as stock_squashmigrations
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder

from tenancy import stamp
from tenancy.exceptions import DatabaseBusy, SchemaMissing, StampMismatch, UnstampedDatabase
from tenancy.loader import PlaneMigrationLoader
from tenancy.lock import DatabaseLock
from tenancy.planes import CONTROL_ALIAS, Plane, plane_of_alias

#: Seconds that ``migrate`` by hand waits for whoever else migrates the database, and for tables in use.
PATIENCE = 30.0


def needs_stamp(connection: Any) -> bool:
    """Whether a database is empty, so that its first migration is to stamp it.

    Raises ``StampMismatch`` for a database that is someone else's, ``UnstampedDatabase`` for a tenant's
    that has tables but no stamp, and ``SchemaMissing``. Changes nothing.
    """
    if not stamp.has_schema(connection):
        raise SchemaMissing(connection.alias, connection.settings_dict["SCHEMA"])
    owner = stamp.read(connection)
    if plane_of_alias(connection.alias) is Plane.CONTROL:
        if owner is not None:
            raise StampMismatch(connection.alias)
        return False
    if owner is None:
        if not _is_empty(connection):
            raise UnstampedDatabase(connection.alias)
        return True
    if owner != connection.alias:
        raise StampMismatch(connection.alias)
    return False


def table_names(connection: Any, *, include_views: bool = False) -> set[str]:
    """The tables of a database that somebody made: without those that SQLite keeps for itself, the statistics
    of ``ANALYZE`` among them (https://www.sqlite.org/fileformat2.html#internal_schema_objects)."""
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor, include_views=include_views)
    is_sqlite = connection.vendor == "sqlite"
    return {name for name in names if not (is_sqlite and name.startswith("sqlite_"))}


def _is_empty(connection: Any) -> bool:
    tables = table_names(connection, include_views=True)
    # Django makes this table in a transaction of its own, so an interrupted first run leaves it empty.
    leftover = {MigrationRecorder.Migration._meta.db_table}
    return not tables - leftover and not MigrationRecorder(connection).applied_migrations()


class StampDatabase(Operation):
    """Makes the stamp, as the first operation of a database's first migration."""

    reversible = False

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        schema_editor.execute(stamp.CREATE, params=None)
        schema_editor.execute(stamp.INSERT, params=[self.tenant_id])

    def describe(self) -> str:
        return "Stamp the database with its tenant's id"


class PlaneMigrationExecutor(MigrationExecutor):
    """Applies and records the migrations of one plane, and stamps an empty tenant database."""

    def __init__(self, connection: Any, progress_callback: Any = None) -> None:
        # First, and before anything is changed: whose database is it?
        self.stamp_pending = needs_stamp(connection)
        # Instead of super().__init__, which would build a loader of both planes first.
        self.connection = connection
        self.loader = PlaneMigrationLoader(connection)
        self.recorder = MigrationRecorder(connection)
        self.progress_callback = progress_callback

    def migrate(self, targets: Any, plan: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Under the lock of the tenant's database, where there is something to do."""
        if not plan or plane_of_alias(self.connection.alias) is not Plane.TENANT:
            return super().migrate(targets, plan, *args, **kwargs)
        seen = set(self.recorder.applied_migrations())
        with DatabaseLock(self.connection, PATIENCE) as lock:
            lock.acquire()
            if set(self.recorder.applied_migrations()) != seen:
                raise DatabaseBusy(self.connection.alias, "somebody else migrated it just now; run it again")
            return super().migrate(targets, plan, *args, **kwargs)

    def apply_migration(
        self, state: Any, migration: Migration, fake: bool = False, fake_initial: bool = False
    ) -> Any:
        if self.stamp_pending and not fake:
            # A copy: the loader's own migration must stay what is on disk. The stamp rides in the
            # migration's transaction, so that there is never one without the other.
            migration = copy.copy(migration)
            operations = [StampDatabase(self.connection.alias), *migration.operations]
            migration.operations = operations  # type: ignore[misc]  # Django sets it per instance too
        state = super().apply_migration(state, migration, fake=fake, fake_initial=fake_initial)
        self.stamp_pending = False
        return state


class _NothingToCheck:
    """What ``makemigrations`` and ``squashmigrations`` take for ``connections``: none to walk, and control
    for the default one (which they ask whether a migration was applied)."""

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __getitem__(self, alias: str) -> Any:
        return connections[CONTROL_ALIAS]


def teach_stock_commands() -> None:
    """Make Django's ``migrate`` and ``showmigrations`` see one plane at a time, and ``makemigrations``
    open no tenant's database.

    They take these names from their module's globals, in the middle of one long ``handle()``; there is
    no other way in short of copying it (read in Django 5.2.19). The classes answer for every alias, so
    this is done once and never undone. ``makemigrations`` would connect to every tenant in turn to check
    that its history is consistent; ``migrate`` checks the one it works on.
    """
    stock_migrate.MigrationExecutor = PlaneMigrationExecutor  # type: ignore[attr-defined]
    stock_showmigrations.MigrationLoader = PlaneMigrationLoader  # type: ignore[attr-defined]
    stock_makemigrations.connections = _NothingToCheck()  # type: ignore[attr-defined]
    stock_squashmigrations.connections = _NothingToCheck()  # type: ignore[attr-defined]
