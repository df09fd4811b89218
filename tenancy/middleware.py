"""The outermost middleware: one request, one scope."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from tenancy import live, log
from tenancy.context import request_scope
from tenancy.streams import carry_stream

#: A proxy's id of the request is kept when it can do no harm in a log or a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@sync_and_async_middleware
def TenantScopeMiddleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Opens an empty tenant scope before everything else and empties it after everything else.

    Who is asking is known only in DRF, deep inside; authentication fills the scope there. Must be the
    first in ``MIDDLEWARE``. Works in both kinds of server without a change of thread. What is streamed
    after it (see ``tenancy.streams``) is made in the same tenant. Each answer carries ``X-Request-Id``, the
    proxy's or a new one, by which its lines in the log are found. Before the scope the registry may see that
    tenants.yaml has changed.
    """
    if iscoroutinefunction(get_response):

        async def serve_async(request: HttpRequest) -> HttpResponseBase:
            await live.refresh_async()
            request_id = _request_id(request)
            with request_scope(request_id), _noted(request):
                answer: Awaitable[HttpResponseBase] = get_response(request)
                response = await answer
                carry_stream(response, in_event_loop=_is_in_event_loop(request))
            response.headers["X-Request-Id"] = request_id
            return response

        return serve_async

    def serve(request: HttpRequest) -> HttpResponseBase:
        live.refresh()
        request_id = _request_id(request)
        with request_scope(request_id), _noted(request):
            response: HttpResponseBase = get_response(request)
            carry_stream(response, in_event_loop=_is_in_event_loop(request))
        response.headers["X-Request-Id"] = request_id
        return response

    return serve


@contextmanager
def _noted(request: HttpRequest) -> Iterator[None]:
    try:
        yield
    finally:
        log.note_on(request)


def _is_in_event_loop(request: HttpRequest) -> bool:
    """Whether an event loop will send the answer. It does so too where a middleware that knows no other way
    makes Django run all of them in a thread."""
    return isinstance(request, ASGIRequest)


def _request_id(request: HttpRequest) -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
