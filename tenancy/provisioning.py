"""Making a database a tenant's, and nobody else's."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder

from tenancy import findings, roles, stamp
from tenancy.connections import maintenance
from tenancy.exceptions import ForeignTables, StampMismatch
from tenancy.findings import Finding
from tenancy.registry import get_registry
from tenancy.schema import table_names
from tenancy.tenant import Tenant
from tenancy.transactions import atomic_on


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


def verify(tenant: Tenant) -> list[Finding]:
    """What is wrong with the border around the tenant's data; nothing when all is well. Changes nothing.

    Asks over the tenant's own connection (call it outside other tenants' contexts), and looks at the file of
    an SQLite tenant. It sees what the tenant's role may see, which is all but the password. Raises
    ``DatabaseUnavailable`` when there is nothing to ask.
    """
    return findings.in_sqlite(tenant) if tenant.engine == "sqlite3" else findings.in_postgresql(tenant)


def _tables_of_tenant_apps() -> set[str]:
    models = [
        model
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]
    return {model._meta.db_table for model in models} | {MigrationRecorder.Migration._meta.db_table}
