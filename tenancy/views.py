"""Probes: whether the process lives, and whether it can serve."""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error, connections
from django.http import HttpRequest, JsonResponse

from tenancy.exceptions import DatabaseBusy
from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import get_registry, get_source
from tenancy.rest.errors import method_not_allowed

logger = logging.getLogger("tenancy.api")

_METHODS = ("GET", "HEAD")


def livez(request: HttpRequest) -> JsonResponse:
    """200 while the process answers. Touches no database: a dead one must not restart healthy servers."""
    if request.method not in _METHODS:
        return _refuse_method(request)
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the control plane answers and a registry was loaded, else 503. The reason is logged.

    A tenants.yaml that is refused while the service runs makes the registry ``stale``: the last good one is
    served, of this ``generation`` and in use ``since``."""
    if request.method not in _METHODS:
        return _refuse_method(request)
    registry = get_registry()
    is_stale = get_source().error is not None
    control = _control_answers()
    if registry.error is not None:
        logger.error("Not ready, no valid tenants.yaml: %s", registry.error)
    body: dict[str, Any] = {
        "control": "ok" if control else "unavailable",
        "registry": {
            "state": "stale" if is_stale else "fresh",
            "generation": registry.generation,
            "since": registry.since.isoformat(timespec="seconds").replace("+00:00", "Z"),
        },
    }
    if control and registry.error is None:
        return JsonResponse(body)
    code = "tenant_unavailable" if control else "control_unavailable"
    body = {"detail": "Not ready.", "code": code} | body
    return JsonResponse(body, status=503, headers={"Retry-After": "5"})


def _refuse_method(request: HttpRequest) -> JsonResponse:
    response = method_not_allowed(request)
    response.headers["Allow"] = ", ".join(_METHODS)  # a 405 must say (RFC 9110, section 15.5.6)
    return response


def _control_answers() -> bool:
    try:
        with connections[CONTROL_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseBusy:
        return True  # it is there, and has work: taking this process away would give the others more
    except Error:
        logger.exception("Not ready, the control plane does not answer.")
        return False
    return True
