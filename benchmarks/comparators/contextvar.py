"""The naive router: a context variable, set from the token."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from rest_framework_simplejwt.authentication import JWTAuthentication

current: ContextVar[str | None] = ContextVar("current", default=None)


class Router:
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return current.get() if model._meta.app_label == "catalog" else None

    db_for_write = db_for_read


class Authentication(JWTAuthentication):
    def authenticate(self, request: Any) -> Any:
        found = super().authenticate(request)
        if found is not None:
            current.set(found[1]["tenant_id"])
        return found


def middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def serve(request: Any) -> Any:
        try:
            return get_response(request)
        finally:
            current.set(None)

    return serve
