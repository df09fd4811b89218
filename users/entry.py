"""Which tenant a user who has proven who they are may enter."""

from __future__ import annotations

from typing import Any

from django.http.request import split_domain_port

from tenancy.registry import get_registry
from tenancy.tenant import Status, Tenant
from users.errors import TenantForbidden, TenantRequired, TenantSuspended
from users.models import Membership, User


def tenant_of_host(request: Any) -> str | None:
    """The id of the tenant whose host name a request came to; None for a host that is nobody's.

    A second lock, never the only one: whoever comes to it needs a token of that tenant, as anywhere else.
    """
    hosts = get_registry().hosts
    # Without the port, as ALLOWED_HOSTS is compared; Django has refused a host that is none by now.
    return hosts.get(split_domain_port(request.get_host())[0]) if hosts else None


def refuse_other_host(request: Any, tenant_id: str) -> None:
    """Raise ``TenantForbidden`` on the host of another tenant."""
    if tenant_of_host(request) not in (None, tenant_id):
        raise TenantForbidden


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
