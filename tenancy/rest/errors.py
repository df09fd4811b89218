"""Errors as the API answers them: ``{"detail": …, "code": …}``, and never what a stranger may not know."""

from __future__ import annotations

import logging
import math
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import Error as DatabaseError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenancy.backends.faults import Fault, classify
from tenancy.context import current_tenant
from tenancy.exceptions import DatabaseFault, RegistryUnavailable
from tenancy.planes import CONTROL_ALIAS
from tenancy.rest.constraints import explain
from tenancy.tenant import Status

logger = logging.getLogger("tenancy.api")

AUTHENTICATE = 'Bearer realm="api"'


class ApiError(exceptions.APIException):
    """An error with a code of its own. ``retry_after`` is in seconds; ``challenge`` is what a 401 wants."""

    retry_after: int | None = None
    challenge = AUTHENTICATE

    def note(self, request: Request, view: Any) -> None:
        """Called when it has become the answer to a call: of a service's transaction it has come out."""


class Conflict(ApiError):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"
    default_detail = "A rule of the data forbids this."


class PreconditionFailed(ApiError):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = "The object has changed since you read it. Read it again and repeat your change."


class LengthRequired(ApiError):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length, not in chunks."


class PayloadTooLarge(ApiError):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "payload_too_large"
    default_detail = "The body is too large."


class ControlUnavailable(ApiError):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "control_unavailable"
    default_detail = "Sign-in is not available at the moment. Try again shortly."
    retry_after = 5


class TenantUnavailable(ApiError):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "tenant_unavailable"
    default_detail = "Your data cannot be reached at the moment. Try again shortly."
    retry_after = 5


class TenantBusy(ApiError):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "tenant_busy"
    default_detail = "Too much is going on at once. Try again shortly."
    retry_after = 1


class TenantMigrating(ApiError):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "tenant_migrating"
    default_detail = "Your data is being upgraded. Try again shortly."
    retry_after = 5


class TenantReadOnly(ApiError):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "tenant_read_only"
    default_detail = "This tenant can be read but not changed at the moment."


_TENANT_FAULTS: dict[Fault, type[ApiError]] = {
    Fault.UNAVAILABLE: TenantUnavailable,
    Fault.READ_ONLY: TenantUnavailable,  # and the tenant is not: a standby, or a disk that went bad
    Fault.BUSY: TenantBusy,
    Fault.MIGRATING: TenantMigrating,
}

# What DRF calls these, and what the contract does.
_CODES = {
    "authentication_failed": "token_not_valid",
    "permission_denied": "forbidden",
    "parse_error": "invalid",
    "error": "server_error",
}


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's ``EXCEPTION_HANDLER``. What is a bug of ours is not handled, so Django logs it: 500."""
    known = as_api_error(exc)
    if known is None:
        return None
    headers = {}
    if known.status_code == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = getattr(known, "challenge", AUTHENTICATE)
    if wait := getattr(known, "retry_after", None) or getattr(known, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    return Response(body_of(known), status=known.status_code, headers=headers)


def as_api_error(exc: Exception) -> exceptions.APIException | None:
    match exc:
        case exceptions.APIException():
            return exc
        case Http404():
            # Without the message: it would name the model.
            return exceptions.NotFound()
        case DjangoPermissionDenied():
            return exceptions.PermissionDenied()
        case RegistryUnavailable():
            logger.error("No valid tenants.yaml: %s", exc)
            return TenantUnavailable()
        case ProtectedError() | RestrictedError():
            return Conflict("It is still in use. Change or delete what uses it first.")
        case DatabaseError():
            return _from_database(exc)
    return None


def _from_database(exc: DatabaseError) -> ApiError | exceptions.ValidationError | None:
    fault = classify(exc)
    # Ours carry the alias; an error without one was raised outside a connection of ours.
    alias = getattr(exc, "alias", None) or getattr(current_tenant(), "id", CONTROL_ALIAS)
    match fault:
        case Fault.CONFLICT:
            return Conflict(explain(exc))
        case Fault.BAD_VALUE:
            return exceptions.ValidationError("A value is out of range, or not allowed.")
        case Fault.UNKNOWN:
            return None
        case Fault.READ_ONLY if (tenant := current_tenant()) and tenant.status is Status.READ_ONLY:
            return TenantReadOnly()
    if isinstance(exc, DatabaseFault):
        # No traceback: it says it all, and comes with every request for as long as a database is away.
        logger.warning("%s%s", exc, f" ({exc.__cause__})" if exc.__cause__ else "")
    else:
        logger.warning("Database '%s' is %s: %s", alias, fault.value, exc, exc_info=exc)
    if alias == CONTROL_ALIAS:
        return ControlUnavailable()
    return _TENANT_FAULTS[fault]()


def body_of(exc: exceptions.APIException) -> dict[str, Any]:
    """The JSON body of an error."""
    if isinstance(exc, exceptions.ValidationError):
        errors = exc.detail if isinstance(exc.detail, dict) else {"non_field_errors": exc.detail}
        return {"detail": "The request is not valid; see errors.", "code": "invalid", "errors": errors}
    code = getattr(exc.detail, "code", exc.default_code)
    body = {"detail": str(exc.detail), "code": _CODES.get(code, code)}
    return body | getattr(exc, "extra", {})


def _json_error(status_code: int, code: str, detail: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status_code)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """``handler400``: what Django refuses before a view sees it (the Host header, for one)."""
    return _json_error(400, "bad_request", "The request is not valid.")


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return _json_error(403, "forbidden", "You may not do this.")


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return _json_error(404, "not_found", "Not found.")


def server_error(request: HttpRequest) -> JsonResponse:
    return _json_error(500, "server_error", "Something went wrong on our side. It has been noted.")


def method_not_allowed(request: HttpRequest) -> JsonResponse:
    return _json_error(405, "method_not_allowed", f'Method "{request.method}" not allowed.')
