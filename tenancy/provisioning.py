"""Making a database a tenant's."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder

from tenancy import stamp
from tenancy.connections import maintenance
from tenancy.exceptions import ForeignTables, StampMismatch
from tenancy.registry import get_registry
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
        with connection.cursor() as cursor:
            tables = set(connection.introspection.table_names(cursor))
        if foreign := sorted(tables - _tables_of_tenant_apps()):
            raise ForeignTables(tenant.id, foreign)
        with atomic_on(tenant.id), connection.cursor() as cursor:
            cursor.execute(stamp.CREATE)
            cursor.execute(stamp.INSERT, [tenant.id])
    return True


def _tables_of_tenant_apps() -> set[str]:
    models = [
        model
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]
    return {model._meta.db_table for model in models} | {MigrationRecorder.Migration._meta.db_table}
