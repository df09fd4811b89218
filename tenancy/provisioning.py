"""Making a database a tenant's, and nobody else's."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from django.apps import apps
from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder
from django.dispatch import Signal
from psycopg2 import errors, sql

from tenancy import findings, roles, stamp
from tenancy.connections import maintenance
from tenancy.database_url import identity
from tenancy.exceptions import (
    DatabaseUnavailable,
    ForeignTables,
    NotHardened,
    StampMismatch,
    UnstampedDatabase,
)
from tenancy.findings import Finding
from tenancy.registry import get_registry
from tenancy.schema import table_names
from tenancy.superuser import Superuser
from tenancy.template import Template, finish_copy
from tenancy.tenant import Tenant
from tenancy.transactions import atomic_on
from tenancy.upgrade import Way

#: A tenant was made for somebody; sent with ``tenant`` and ``owner``, an e-mail address. Receivers are the
#: project's: they return a line about what they did, and raise ``ValidationError`` for an address that is
#: none.
tenant_created = Signal()


def adopt(tenant_id: str) -> bool:
    """Stamp a database that has tables but no stamp: one that was restored, or is older than stamps.

    Returns whether it did; a database that is this tenant's already is left alone. Changes nothing else.
    Raises ``TenantNotFound``, ``StampMismatch`` for somebody else's, and ``ForeignTables`` for one that
    holds a table no tenant app knows.
    """
    tenant = get_registry().get(tenant_id)
    with maintenance(tenant.id) as connection:
        owner = stamp.read(connection)
        if owner is not None and owner != tenant.id:
            raise StampMismatch(tenant.id)
        if owner is not None:
            return False
        if foreign := sorted(table_names(connection) - _tables_of_tenant_apps()):
            raise ForeignTables(tenant.id, foreign)
        with atomic_on(tenant.id), connection.cursor() as cursor:
            cursor.execute(stamp.CREATE)
            cursor.execute(stamp.INSERT, [tenant.id])
    return True


def provision(
    tenant: Tenant, superuser_url: str | None = None, template: Template | None = None
) -> list[str]:
    """Bring the tenant's database to where requests can be served, whatever is there of it: database or
    schema, role, ownership, grants, stamp, migrations.

    Returns a line for each thing that was done; none when all was well. Safe to run again, also after it was
    killed. A new database is copied from a template where that is possible (``tenancy.template``). One that
    has tables and no stamp of the tenant's is never touched.

    ``superuser_url`` names a superuser of the tenant's PostgreSQL server, as for ``harden``; without it there
    has to be a database that the tenant's own role may migrate, and its rights are not looked at. Whoever
    provisions several gives a ``template`` for all of them, for it has read the migrations. Raises what
    ``harden`` does, ``DatabaseUnavailable``, and what migrations raise.
    """
    template = template or Template()
    if tenant.engine == "sqlite3":
        try:
            return _provision_file(tenant, template)
        except OSError as exc:
            raise DatabaseUnavailable(tenant.id, f"its file cannot be made ({exc.strerror})") from exc
    done = []
    if superuser_url is not None:
        try:
            done = _provision_database(tenant, superuser_url, template)
        except psycopg2.Error as exc:
            raise NotHardened(
                tenant.id,
                f"the server refused a step (SQLSTATE {exc.pgcode}); see the cause, and run it again",
            ) from exc
    return done + _migrated(tenant, template)


def _provision_file(tenant: Tenant, template: Template) -> list[str]:
    path = Path(tenant.database["NAME"])
    if path.exists():
        _require_no_strangers_file(tenant, path)
        return _migrated(tenant, template)
    if template.is_possible and template.copy_file(tenant):
        return ["made its file, from a template"]
    return _migrated(tenant, template)


def _require_no_strangers_file(tenant: Tenant, path: Path) -> None:
    """Looked at without Django, whose opening it would change it already (to write-ahead logging)."""
    with _reading(tenant, path) as connection:
        found = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        ).fetchall()
    names = {name for (name,) in found if not name.startswith("sqlite_")}
    if names - {MigrationRecorder.Migration._meta.db_table} and stamp.TABLE not in names:
        raise UnstampedDatabase(tenant.id)


@contextmanager
def _reading(tenant: Tenant, path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            yield connection
    except sqlite3.Error as exc:
        raise DatabaseUnavailable(tenant.id, f"its file cannot be read as a database ({exc})") from exc


def _provision_database(tenant: Tenant, superuser_url: str, template: Template) -> list[str]:
    superuser = Superuser(tenant, superuser_url)
    roles.require_role_of_its_own(tenant, superuser)
    _require_same_server(tenant, superuser)

    def prepare(cursor: Any) -> list[str]:
        if tenant.database["SCHEMA"] != "public":
            return _make_schema(tenant, cursor)
        return ["stamped it"] if finish_copy(cursor, tenant) else []

    with superuser.server() as cursor:
        done = _make_database(tenant, superuser, cursor, template)
        done += roles.reconcile(tenant, superuser_url, prepare)
        _open_to_its_role(tenant, cursor)
    return done


def _require_same_server(tenant: Tenant, superuser: Superuser) -> None:
    """Or the database would be made where nobody looks for it."""
    server = identity(tenant.direct or tenant.database)[:3]
    if identity({**superuser.settings, "SCHEMA": "public"})[:3] != server:
        raise NotHardened(
            tenant.id,
            "the superuser's URL leads to another server than its own (host and port differ); use that one's",
        )


def _make_database(tenant: Tenant, superuser: Superuser, cursor: Any, template: Template) -> list[str]:
    name = tenant.database["NAME"]
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    if cursor.fetchone():
        return []
    # Until it is closed to PUBLIC it is closed to all but superusers.
    statement, line = "CREATE DATABASE {name} CONNECTION LIMIT 0", "made its database"
    values = {"name": sql.Identifier(name)}
    # A schema in a database that others will share has nothing to be copied from.
    if tenant.database["SCHEMA"] == "public" and template.is_possible:
        statement, line = f"{statement} TEMPLATE {{template}}", f"{line}, from a template"
        values["template"] = sql.Identifier(template.database(tenant, superuser, cursor))
    try:
        cursor.execute(sql.SQL(statement).format(**values))
    except errors.DuplicateDatabase:
        return []  # somebody else did, this moment
    return [line]


def _open_to_its_role(tenant: Tenant, cursor: Any) -> None:
    name = tenant.database["NAME"]
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s AND datconnlimit = 0", [name])
    if cursor.fetchone():
        cursor.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(sql.Identifier(name)))


def _make_schema(tenant: Tenant, cursor: Any) -> list[str]:
    schema = tenant.database["SCHEMA"]
    cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
    if cursor.fetchone():
        return []
    cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    return ["made its schema"]


def _migrated(tenant: Tenant, template: Template) -> list[str]:
    done = template.upgrade.carry_out(tenant.id)
    if done.way is Way.NONE:
        return []
    count = len(done.steps)
    return [f"applied {count} {'migration' if count == 1 else 'migrations'}"]


def harden(tenant: Tenant, superuser_url: str) -> list[str]:
    """Make the tenant's PostgreSQL role, and let it, and nobody else, into the tenant's database or schema.

    The role is the one that the tenant's URL names, with the URL's password. Returns one line per kind of
    change, without secrets and names; none when all was well. Safe to run twice, and one transaction: after
    an error nothing is changed. Sessions that are open keep what they had. The tenant's limits (the
    milliseconds of ``LIMITS``) and its ``search_path`` are pinned as the role's defaults in that database;
    a session may change them, so they are no border. What roles that are no tenant's were given by name is
    left to them: ``verify`` counts it.

    ``superuser_url`` names a superuser of the tenant's server, past any pooler; its database is not looked
    at, and it is not kept. Raises ``NotHardened`` with the reason, ``StampMismatch`` for a database that is
    somebody else's, ``UnstampedDatabase`` for one with tables and no stamp, ``SchemaMissing``.

    Rights: https://www.postgresql.org/docs/current/ddl-priv.html.
    """
    return roles.reconcile(tenant, superuser_url)


def verify(tenant: Tenant, neighbours: Collection[Tenant] | None = None) -> list[Finding]:
    """What is wrong with the border around the tenant's data; nothing when all is well. Changes nothing.

    Asks over the tenant's own connection (call it outside other tenants' contexts), and looks at the file of
    an SQLite tenant. It sees what the tenant's role may see, which is all but the password. Whoever knows
    the other tenants of its database gives them as ``neighbours``; else the registry is searched. Raises
    ``DatabaseUnavailable`` when there is nothing to ask.
    """
    if tenant.engine == "sqlite3":
        return findings.in_sqlite(tenant)
    return findings.in_postgresql(tenant, roles.neighbours(tenant) if neighbours is None else neighbours)


def _tables_of_tenant_apps() -> set[str]:
    models = [
        model
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]
    return {model._meta.db_table for model in models} | {MigrationRecorder.Migration._meta.db_table}
