"""How entry is refused. To an outsider "no such tenant" and "not your tenant" are one answer."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.request import Request

from tenancy.rest.errors import ApiError
from users import refusals


class InvalidCredentials(ApiError):
    status_code = status.HTTP_401_UNAUTHORIZED
    default_code = "invalid_credentials"
    default_detail = "The e-mail or the password is wrong."


class TokenNotValid(ApiError):
    status_code = status.HTTP_401_UNAUTHORIZED
    default_code = "token_not_valid"
    default_detail = "The token is not valid, or not any more. Sign in again."


class KeyNotValid(ApiError):
    """Unknown, expired, revoked, or its maker is gone: whoever presents it learns no more than that."""

    status_code = status.HTTP_401_UNAUTHORIZED
    default_code = "key_not_valid"
    challenge = 'Api-Key realm="api"'
    default_detail = "The API key is not valid, or not any more. Ask whoever gave it to you."


class NotAllowed(ApiError):
    """To somebody who belongs to the tenant, and may not do this. It is in the audit trail."""

    status_code = status.HTTP_403_FORBIDDEN

    def note(self, request: Request, view: Any) -> None:
        refusals.note(request, view)


class PersonRequired(NotAllowed):
    default_code = "person_required"
    default_detail = "This is for people who signed in, not for API keys."


class TenantRequired(ApiError):
    """Carries the tenants to choose from: the user's own."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "tenant_required"
    default_detail = "You belong to several tenants. Name one in tenant_id."

    def __init__(self, tenants: list[dict[str, Any]]) -> None:
        super().__init__()
        self.extra = {"tenants": tenants}


class TenantForbidden(ApiError):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "tenant_forbidden"
    default_detail = "You do not belong to this tenant."


class TenantSuspended(ApiError):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "tenant_suspended"
    default_detail = "This tenant is suspended. Ask its owner."


class TooManyAttempts(ApiError):
    """``retry_after`` is in seconds."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "throttled"
    default_detail = "Too many attempts. Wait a while."

    def __init__(self, retry_after: int, detail: str | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class LinkNotValid(ApiError):
    """Spent, too old, taken back, never given: whoever has it learns no more than that."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "link_not_valid"
    default_detail = "This link is not valid, or not any more. Ask for another one."


class PasswordRequired(ApiError):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "password_required"
    default_detail = "Choose a password: send it along."


class LastOwner(ApiError):
    status_code = status.HTTP_409_CONFLICT
    default_code = "last_owner"
    default_detail = "A tenant needs an owner. Make somebody else one first."


class RoleForbids(NotAllowed):
    default_code = "forbidden"
    default_detail = "Your role may read but not change this."
