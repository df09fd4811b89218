"""The database router: each query goes to the database of the tenant in context, or nowhere."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model

from tenancy.context import current_frame, current_tenant
from tenancy.exceptions import NoPlane, NoTenant, WrongTenant
from tenancy.memory import remembered_by
from tenancy.planes import CONTROL_ALIAS, Plane, plane_of_alias, plane_of_app, tenant_apps


def has_others() -> bool:
    """Whether the project has a router of its own beside this one. It may give one tenant tables that another
    does not get."""
    return bool(settings.DATABASE_ROUTERS != ["tenancy.routers.TenantRouter"])


class TenantRouter:
    """Fails closed: it raises rather than return None, upon which Django would guess ``default``."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        label = model._meta.app_label
        if label in tenant_apps():
            tenant_id = current_frame().tenant_id
            if tenant_id is None:
                raise NoTenant(f"'{model._meta.label}'")
            # An object knows where it was read. Saved, deleted or followed in another tenant's context it
            # would hit the row with the same key there (django/db/models/base.py, save_base).
            instance = hints.get("instance")
            if (
                instance is not None
                and isinstance(instance, Model)
                and instance._state.db not in (None, tenant_id)
            ):
                raise WrongTenant(f"This {instance._meta.object_name}", str(instance._state.db), tenant_id)
            return tenant_id
        if plane_of_app(label) is Plane.CONTROL:
            return CONTROL_ALIAS
        raise NoPlane(model._meta.label, label)

    db_for_write = db_for_read

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool:
        """Two objects may be related when one database holds both. A new one that was made for nobody
        will get that of the tenant in context."""
        planes = {plane_of_app(obj._meta.app_label) for obj in (obj1, obj2)}
        if len(planes) > 1:
            return False
        # A new one has no database yet, and may have been made for a tenant.
        aliases = {remembered_by(obj) or obj._state.db for obj in (obj1, obj2)} - {None}
        tenant = current_tenant()
        if planes == {Plane.TENANT} and tenant is not None:
            aliases.add(tenant.id)
        return len(aliases) <= 1

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        plane = plane_of_app(app_label)
        return plane is not None and plane_of_alias(db) is plane
