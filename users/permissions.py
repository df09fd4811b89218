"""Who may do what. The default is that of the tenants' data; a view open to anyone says so by name."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, AllowAny, BasePermission
from rest_framework.request import Request

from tenancy.rest.errors import TenantReadOnly
from tenancy.tenant import Status
from users.authentication import Access
from users.errors import PersonRequired, RoleForbids, TenantSuspended
from users.models import Role


class HasAccess(BasePermission):
    """A person or a key: base of the others."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, Access)


class IsPerson(HasAccess):
    """For calls about the caller: they work while the tenant is suspended or out of reach. Not for keys."""

    #: For the API's description: ``tenancy.rest.openapi``.
    refused_schemes = frozenset({"apiKey"})

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        if request.auth.claims is None:  # type: ignore[union-attr]
            raise PersonRequired
        return True


class MayUseTenant(HasAccess):
    """For the tenant's data: it must be open, and the role and the tenant must allow the method."""

    writers = frozenset({Role.OWNER, Role.ADMIN, Role.MEMBER})

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        access: Access = request.auth  # type: ignore[assignment]
        if access.tenant.status is Status.SUSPENDED:
            raise TenantSuspended
        if request.method not in SAFE_METHODS:
            if access.role not in self.writers:
                raise RoleForbids
            if access.tenant.status is Status.READ_ONLY:
                raise TenantReadOnly
        return True


class MayManagePeople(IsPerson):
    """For who belongs to the tenant: its owners and admins. Also while the tenant may only be read: somebody
    may have to be kept out just then."""

    managers = frozenset({Role.OWNER, Role.ADMIN})
    refusal = "This is for owners and admins."

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        access: Access = request.auth  # type: ignore[assignment]
        if access.tenant.status is Status.SUSPENDED:
            raise TenantSuspended
        if access.role not in self.managers:
            raise RoleForbids(self.refusal)
        return True


class IsOwner(MayManagePeople):
    """For what only an owner of the tenant may see."""

    managers = frozenset({Role.OWNER})
    refusal = "This is for owners."


class Anyone(AllowAny):
    """No token needed. A test holds the list of views that say so."""
