"""From a bearer token or an API key to a user, a tenant and a role: one query of the control plane."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import TokenError

from tenancy.connections import release
from tenancy.context import enter_request, identify_user
from tenancy.exceptions import TenantNotFound
from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import get_registry
from tenancy.rest.errors import ApiError
from tenancy.tenant import Status, Tenant
from users import api_keys
from users.entry import refuse_other_host
from users.errors import KeyNotValid, PersonRequired, TenantForbidden, TokenNotValid
from users.families import find_family
from users.models import ApiKey, Role, User
from users.tokens import Claims, TenantAccessToken

#: Headers by which other products choose a tenant. Here the token decides; one that says otherwise is an
#: error rather than ignored, so that nobody believes it was obeyed.
_TENANT_HEADERS = ("X-Tenant", "X-Tenant-Id")


@dataclass(frozen=True)
class Access:
    """``request.auth``: what the token or the key and the control plane say, now, of whoever is asking."""

    tenant: Tenant
    role: Role
    #: Of a person, who signed in: the access token's.
    claims: Claims | None = None
    #: Of a machine.
    key: ApiKey | None = None

    @property
    def session_id(self) -> uuid.UUID:
        """The session of a person. Raises ``PersonRequired`` for a key."""
        if self.claims is None:
            raise PersonRequired
        return self.claims.family_id


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
        tenant = enter(request, claims.tenant_id)
        return family.user, Access(tenant, Role(family.role), claims=claims)

    def bearer_token(self, request: Request) -> bytes | None:
        """The token of the Authorization header; None for no header, or another scheme."""
        token = _credentials(request, b"bearer", TokenNotValid)
        if token is not None and token.startswith(b"fh_"):
            raise TokenNotValid("This is an API key: send it as `Authorization: Api-Key …`.")
        return token


class ApiKeyAuthentication(BaseAuthentication):
    """The same for a key. ``request.user`` is whoever made it, for whom it works.

    Raises 401 for a key that is not, or no longer, good; also when its maker has lost the membership.
    """

    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        text = _credentials(request, b"api-key", KeyNotValid)
        if text is None:
            return None
        key = api_keys.find(text.decode("latin-1"))
        if key is None or key.created_by is None:
            release(CONTROL_ALIAS)
            raise KeyNotValid
        api_keys.note_use(key)
        release(CONTROL_ALIAS)
        identify_user(f"key:{key.prefix}")
        tenant = enter(request, key.tenant_id)
        return key.created_by, Access(tenant, key.effective_role, key=key)

    def authenticate_header(self, request: Request) -> str:
        return 'Api-Key realm="api"'


def _credentials(request: Request, scheme: bytes, refusal: type[ApiError]) -> bytes | None:
    """What the Authorization header has in this scheme; None for no header, or another scheme."""
    parts = get_authorization_header(request).split()
    # The scheme's case does not matter (RFC 9110, section 11.1).
    if not parts or parts[0].lower() != scheme:
        return None
    if len(parts) != 2:
        raise refusal
    return parts[1]


def enter(request: Request, tenant_id: str) -> Tenant:
    """Enter the context of the tenant that the credentials are for, unless it is suspended. Raises
    ``TenantForbidden`` for one that is gone, or on another's host, and ``ValidationError`` for a header that
    names another."""
    try:
        tenant = get_registry().get(tenant_id)
    except TenantNotFound as exc:
        raise TenantForbidden from exc
    refuse_other_host(request, tenant.id)
    refuse_other_tenant(request, tenant)
    if tenant.status is not Status.SUSPENDED:
        enter_request(tenant)
    return tenant


def refuse_other_tenant(request: Request, tenant: Tenant) -> None:
    for header in _TENANT_HEADERS:
        if request.headers.get(header, tenant.id) != tenant.id:
            raise ValidationError({header: ["Your credentials are for another tenant, and decide."]})
