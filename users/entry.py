"""Which tenant a user who has proven who they are may enter."""

from __future__ import annotations

from typing import Any

from tenancy.tenant import Status, Tenant
from users.errors import TenantForbidden, TenantRequired, TenantSuspended
from users.models import Membership, User


def own_tenants(user: User) -> list[dict[str, Any]]:
    """``[{id, name, role}]`` of every tenant the user belongs to."""
    return _described(Membership.objects.known(user))


def _described(memberships: list[tuple[Membership, Tenant]]) -> list[dict[str, Any]]:
    return [
        {"id": tenant.id, "name": tenant.name, "role": membership.role} for membership, tenant in memberships
    ]


def choose_tenant(user: User, tenant_id: str | None) -> Tenant:
    """The tenant to sign in to: the one named, or the only one.

    Raises ``TenantForbidden`` for none, somebody else's and no such tenant alike, ``TenantRequired`` when
    there are several and none is named, and ``TenantSuspended``.
    """
    memberships = Membership.objects.known(user)
    tenants = {tenant.id: tenant for _, tenant in memberships}
    if tenant_id is None and len(tenants) > 1:
        raise TenantRequired(_described(memberships))
    tenant = tenants.get(tenant_id) if tenant_id is not None else next(iter(tenants.values()), None)
    if tenant is None:
        raise TenantForbidden
    if tenant.status is Status.SUSPENDED:
        raise TenantSuspended
    return tenant
