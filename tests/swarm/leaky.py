"""Servers with a hole, for the swarm to find: without them, "no leaks" would prove nothing.

``SWARM_LEAK`` names the hole. Only the swarm starts these; the service has no such switch.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from rest_framework.response import Response

from project.asgi import application as asgi
from project.wsgi import application as wsgi
from tenancy.context import current_tenant, require_tenant
from tenancy.registry import get_registry
from tenancy.rest import views
from tenancy.tenant import Tenant
from tests.swarm.canaries import canary
from users import authentication

__all__ = ["asgi", "wsgi"]

_numbers = itertools.count(1)


def _is_unlucky(one_in: int = 8) -> bool:
    return next(_numbers) % one_in == 0


def _neighbour(tenant: Tenant) -> Tenant:
    others = [other for other in get_registry() if other.id != tenant.id]
    return others[next(_numbers) % len(others)]


def context() -> None:
    """Now and then a request is bound to another tenant than its token's."""
    enter = authentication.enter_request

    def enter_some_tenant(tenant: Tenant) -> None:
        enter(_neighbour(tenant) if _is_unlucky() else tenant)

    authentication.enter_request = enter_some_tenant


def cache() -> None:
    """Objects are kept by their path, which is the same in every tenant."""
    kept: dict[str, Any] = {}
    retrieve = views.TenantModelViewSet.retrieve

    def retrieve_from_cache(self: Any, request: Any, *args: Any, **kwargs: Any) -> Response:
        if request.path in kept and _is_unlucky(5):
            return Response(kept[request.path])
        response = retrieve(self, request, *args, **kwargs)
        kept[request.path] = response.data
        return response

    views.TenantModelViewSet.retrieve = retrieve_from_cache


def header() -> None:
    """Bodies are right, but a header tells of the request before."""
    last = ""
    finalize = views.ApiViewMixin.finalize_response

    def finalize_with_header(self: Any, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal last
        response = finalize(self, request, response, *args, **kwargs)
        if last:
            response.headers["X-Before"] = last
        tenant = current_tenant()
        last = canary(tenant.id, "seen") if tenant else ""
        return response

    views.ApiViewMixin.finalize_response = finalize_with_header


def rollback() -> None:
    """Now and then a write is acknowledged and undone."""
    atomic = views.tenant_atomic

    @contextmanager
    def atomic_in_vain() -> Iterator[None]:
        with atomic():
            yield
            if _is_unlucky():
                transaction.set_rollback(True, using=require_tenant().id)

    views.tenant_atomic = atomic_in_vain


def log() -> None:
    """A line of one tenant quotes another's data."""
    finalize = views.ApiViewMixin.finalize_response

    def finalize_and_tell(self: Any, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        tenant = current_tenant()
        if tenant and _is_unlucky():
            line = {"tenant": tenant.id, "message": f"served {canary(_neighbour(tenant).id, 'secret')}"}
            sys.stderr.write(f"{json.dumps(line)}\n")
        return finalize(self, request, response, *args, **kwargs)

    views.ApiViewMixin.finalize_response = finalize_and_tell


LEAKS: dict[str, Callable[[], None]] = {
    "context": context,
    "cache": cache,
    "header": header,
    "rollback": rollback,
    "log": log,
}

LEAKS[os.environ["SWARM_LEAK"]]()
