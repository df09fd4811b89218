"""A database that has been migrated and belongs to nobody, to be copied for new tenants.

It is made anew when the migrations change. There is none where migrations, or receivers of Django's signals
around them, run Python of the project's: what that does for one tenant another one must not get.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any

import django
from django.conf import settings
from django.db.migrations.migration import Migration
from django.db.migrations.writer import MigrationWriter
from psycopg2 import sql

from tenancy import routers, stamp
from tenancy.connections import elsewhere, maintenance
from tenancy.database_url import TEMPLATE_PREFIXES
from tenancy.exceptions import NotHardened
from tenancy.loader import MigrationKey, PlaneMigrationLoader
from tenancy.planes import Plane
from tenancy.private_folder import PrivateFolder
from tenancy.route import Target, is_impersonal
from tenancy.superuser import Superuser
from tenancy.tenant import Tenant
from tenancy.upgrade import Upgrade, has_receivers

#: A table by which a copy says that it is one: it stands there until the copy has its stamp.
MARKER = "tenancy_template"
_NAME, _DRAFT = TEMPLATE_PREFIXES
#: Seconds to wait for somebody else who makes the server's template.
_PATIENCE = 600
_KEPT = 2


class Template:
    """What the migrations on disk make of an empty database. They are read once: one of these for a run."""

    def __init__(self) -> None:
        #: What brings databases to where the code is, those that are no copies too.
        self.upgrade = Upgrade(Target())

    @cached_property
    def _migrations(self) -> dict[MigrationKey, Migration]:
        return PlaneMigrationLoader(None, plane=Plane.TENANT).disk_migrations

    @cached_property
    def is_possible(self) -> bool:
        """Whether every tenant gets the same of its migrations."""
        if routers.has_others() or has_receivers() or not self.fingerprint:
            return False
        return all(map(is_impersonal, self._migrations.values()))

    @cached_property
    def fingerprint(self) -> str:
        """Changes when what the migrations say does, wherever they have it from, or Django. Empty where that
        cannot be told."""
        found = hashlib.sha256(django.__version__.encode())
        for key, migration in sorted(self._migrations.items()):
            found.update(repr(key).encode())
            try:
                found.update(MigrationWriter(migration, include_header=False).as_string().encode())
            except (TypeError, ValueError):  # something in it that cannot be written down
                return ""
        return found.hexdigest()[:12]

    def copy_file(self, tenant: Tenant) -> bool:
        """Make the tenant's SQLite file. Returns False where there is one by now; that is left alone."""
        path = Path(tenant.database["NAME"])
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = self._file(tenant).read_bytes()
        draft = path.with_name(f".{path.name}.{token_hex(8)}.new")
        try:
            _write(draft, data)
            with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                # Nobody sees it yet, and what a crash leaves of it is nothing.
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("BEGIN")
                connection.execute(stamp.CREATE)
                connection.execute(stamp.INSERT.replace("%s", "?"), [tenant.id])
                connection.execute("COMMIT")
            _sync(draft)
            try:
                os.link(draft, path)  # never over another file
            except FileExistsError:
                return False
            _sync(path.parent)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _file(self, tenant: Tenant) -> Path:
        folder = PrivateFolder(Path(settings.TENANCY_CACHE_DIR))
        path = folder.path / f"template-{self.fingerprint}.sqlite3"
        if path.exists():
            return path
        with folder.locked("template.lock"):
            if not path.exists():
                draft = folder.path / f".{path.name}.{token_hex(8)}"
                with elsewhere(tenant.id, NAME=str(draft)):
                    self._migrate(tenant)
                with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                    # One file from here on, without a log beside it.
                    connection.execute("PRAGMA journal_mode = DELETE")
                draft.replace(path)
                folder.prune("template-*.sqlite3", _KEPT)
        return path

    def database(self, tenant: Tenant, superuser: Superuser, cursor: Any) -> str:
        """The name of the template on the tenant's PostgreSQL server, made where there is none. ``cursor`` is
        one of the superuser's, outside of transactions."""
        name = _NAME + self.fingerprint
        if _is_there(tenant, cursor, name):
            return name
        with closing(superuser.open("postgres")) as guard, guard.cursor() as waiting:
            waiting.execute(f"SET lock_timeout = '{_PATIENCE}s'")
            # Not an advisory lock: every role may hold one, and so could stop this for good.
            waiting.execute("SELECT 1 FROM pg_database WHERE datname = 'postgres' FOR UPDATE")
            if not _is_there(tenant, cursor, name):
                self._make_database(tenant, superuser, cursor, name)
        return name

    def _make_database(self, tenant: Tenant, superuser: Superuser, cursor: Any, name: str) -> None:
        for left_over in _named(cursor, _DRAFT):  # of a process that died: whoever makes one has the lock
            _drop(cursor, left_over)
        draft = _DRAFT + token_hex(8)
        # Nobody but superusers gets in, from the first moment: what others could leave in it, all would get.
        _execute(cursor, "CREATE DATABASE {} CONNECTION LIMIT 0", draft)
        with elsewhere(tenant.id, **superuser.settings | {"NAME": draft, "SCHEMA": "public"}):
            self._migrate(tenant)
        _execute(cursor, "ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false", draft)
        _execute(cursor, "ALTER DATABASE {} RENAME TO {}", draft, name)
        for outdated in _named(cursor, _NAME)[:-_KEPT]:
            if outdated != name:
                _drop(cursor, outdated)

    def _migrate(self, tenant: Tenant) -> None:
        """The database that the tenant's alias leads to now, which then is nobody's."""
        self.upgrade.carry_out(tenant.id)
        with maintenance(tenant.id) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {stamp.TABLE}")
            if connection.vendor == "postgresql":
                cursor.execute(f"CREATE TABLE {MARKER} ()")


def finish_copy(cursor: Any, tenant: Tenant) -> bool:
    """Give a copy of the template its stamp, in the superuser's transaction that is open; the marker goes.
    Returns False where the database is no such copy."""
    cursor.execute(
        "SELECT count(*) FILTER (WHERE relname = %(marker)s AND pg_get_userbyid(relowner) = current_user),"
        " count(*) FILTER (WHERE relname = %(stamp)s) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
        {"marker": MARKER, "stamp": stamp.TABLE},
    )
    if cursor.fetchone() != (1, 0):
        return False
    cursor.execute("SET LOCAL search_path = public")
    cursor.execute(f"{stamp.CREATE}; {stamp.INSERT}; DROP TABLE {MARKER}", [tenant.id])
    cursor.execute("SET LOCAL search_path = pg_catalog")
    return True


def _is_there(tenant: Tenant, cursor: Any, name: str) -> bool:
    cursor.execute(
        "SELECT pg_get_userbyid(datdba) = current_user AND datistemplate AND NOT datallowconn"
        " FROM pg_database WHERE datname = %s",
        [name],
    )
    rows = cursor.fetchall()
    if rows and not rows[0][0]:
        raise NotHardened(
            tenant.id, f"the server has a database '{name}' that is not our template; find out whose it is"
        )
    return bool(rows)


def _named(cursor: Any, start: str) -> list[str]:
    """Databases of the superuser's whose names begin so; the oldest first."""
    cursor.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        " AND pg_get_userbyid(datdba) = current_user ORDER BY oid",
        [start],
    )
    return [name for (name,) in cursor.fetchall()]


def _drop(cursor: Any, name: str) -> None:
    _execute(cursor, "ALTER DATABASE {} WITH IS_TEMPLATE false", name)
    _execute(cursor, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _execute(cursor: Any, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system that knows no such thing for folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
