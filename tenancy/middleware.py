"""The outermost middleware: one request, one scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from tenancy.context import request_scope


@sync_and_async_middleware
def TenantScopeMiddleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Opens an empty tenant scope before everything else and empties it after everything else.

    Who is asking is known only in DRF, deep inside; authentication fills the scope there. Must be the
    first in ``MIDDLEWARE``. Works in both kinds of server without a change of thread.
    """
    if iscoroutinefunction(get_response):

        async def serve_async(request: HttpRequest) -> HttpResponseBase:
            with request_scope():
                answer: Awaitable[HttpResponseBase] = get_response(request)
                return await answer

        return serve_async

    def serve(request: HttpRequest) -> HttpResponseBase:
        with request_scope():
            response: HttpResponseBase = get_response(request)
            return response

    return serve
