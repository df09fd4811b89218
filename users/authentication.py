"""From a bearer token to a user, a tenant and a role: one query of the control plane."""

from __future__ import annotations

from dataclasses import dataclass

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import TokenError

from tenancy.connections import release
from tenancy.context import enter_request, identify_user
from tenancy.exceptions import TenantNotFound
from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import get_registry
from tenancy.tenant import Status, Tenant
from users.entry import refuse_other_host
from users.errors import TenantForbidden, TokenNotValid
from users.families import find_family
from users.models import Role, User
from users.tokens import Claims, TenantAccessToken

#: Headers by which other products choose a tenant. Here the token decides; one that says otherwise is an
#: error rather than ignored, so that nobody believes it was obeyed.
_TENANT_HEADERS = ("X-Tenant", "X-Tenant-Id")


@dataclass(frozen=True)
class Access:
    """``request.auth``: what the token and the control plane say, now, of whoever is asking."""

    claims: Claims
    tenant: Tenant
    role: Role


class TenantJWTAuthentication(JWTAuthentication):
    """Authenticates a request and enters its tenant's context.

    Raises 401 for a token that is not, or no longer, good, and 403 when the user has lost the membership.
    A suspended tenant is not entered: its members may still ask who they are.
    """

    def authenticate(self, request: Request) -> tuple[User, Access] | None:  # type: ignore[override]
        text = self.bearer_token(request)
        if text is None:
            return None
        try:
            claims = TenantAccessToken.read(text)
        except TokenError as exc:
            raise TokenNotValid from exc
        family = find_family(claims)
        release(CONTROL_ALIAS)
        if family is None:
            raise TokenNotValid
        identify_user(family.user_id)
        if family.role is None:
            raise TenantForbidden
        try:
            tenant = get_registry().get(claims.tenant_id)
        except TenantNotFound as exc:
            raise TenantForbidden from exc
        refuse_other_host(request, tenant.id)
        refuse_other_tenant(request, tenant)
        if tenant.status is not Status.SUSPENDED:
            enter_request(tenant)
        return family.user, Access(claims, tenant, Role(family.role))

    def bearer_token(self, request: Request) -> bytes | None:
        """The token of the Authorization header; None for no header, or another scheme."""
        parts = (self.get_header(request) or b"").split()
        # The scheme's case does not matter (RFC 9110, section 11.1).
        if not parts or parts[0].lower() != b"bearer":
            return None
        if len(parts) != 2:
            raise TokenNotValid
        return parts[1]


def refuse_other_tenant(request: Request, tenant: Tenant) -> None:
    for header in _TENANT_HEADERS:
        if request.headers.get(header, tenant.id) != tenant.id:
            raise ValidationError({header: ["The token says otherwise. Switch with /api/token/switch/."]})
