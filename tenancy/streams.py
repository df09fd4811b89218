"""The body of a streamed response: it is made after the view and all middleware are done.

Under WSGI the server pulls it chunk by chunk when the request's scope is closed, and the same thread may
have served another tenant in between. Each pull therefore enters the scope again and leaves it.

Private API, read in Django 5.2.19 (``django/http/response.py``): ``StreamingHttpResponse._iterator`` is
what is pulled, ``HttpResponseBase._resource_closers`` what is called when the server is done.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.http import HttpResponseBase

from tenancy.context import OutlivingScope


def carry_stream(response: HttpResponseBase, *, in_event_loop: bool = False) -> None:
    """Make the body of a streamed response in the tenant, and under the lock, of its request.

    Called by the scope's middleware, inside the scope. A file that the server reads by itself is left
    alone: it asks no database. In an event loop (ASGI) an ordinary generator is pulled chunk by chunk in
    the request's thread; Django would read it to its end, into memory, before it sends the first byte.
    """
    stream: Any = response
    if not response.streaming or _is_plain_file(stream):
        return
    scope = OutlivingScope()
    if in_event_loop and not stream.is_async:
        stream._iterator = _Pulled(stream._iterator)
        stream.is_async = True
    wrap: Callable[..., Any] = AsyncStream if stream.is_async else Stream
    stream._iterator = wrap(stream._iterator, scope)
    stream.file_to_stream = None  # an object that only looks like a file may ask a database when it is read
    stream._resource_closers = [
        *(functools.partial(_close, scope, closer) for closer in stream._resource_closers),
        scope.end,
    ]


def _is_plain_file(stream: Any) -> bool:
    return isinstance(getattr(stream, "file_to_stream", None), io.IOBase | File)


def _close(scope: OutlivingScope, closer: Callable[[], object]) -> None:
    """The ``finally`` of a generator that was not read to its end runs here."""
    with scope.entered():
        closer()


class Stream:
    """Enters the scope for each chunk."""

    def __init__(self, chunks: Iterator[Any], scope: OutlivingScope) -> None:
        self._chunks = chunks
        self._scope = scope

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._scope.entered():
            return next(self._chunks)


class _Pulled:
    """The chunks of an ordinary iterator, each made in the thread that the request's view ran in."""

    _END = object()

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        # A sentinel: no future can carry a StopIteration.
        pull: Any = sync_to_async(next)  # of the two forms of next() types know the first only
        chunk = await pull(self._chunks, self._END)
        if chunk is self._END:
            raise StopAsyncIteration
        return chunk


class AsyncStream:
    """Enters the scope for each chunk, and for the end of a generator that was not read to its end."""

    def __init__(self, chunks: AsyncIterator[Any], scope: OutlivingScope) -> None:
        self._chunks = chunks
        self._scope = scope
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self._loop = asyncio.get_running_loop()
        with self._scope.entered():
            return await anext(self._chunks)

    async def aclose(self) -> None:
        try:
            with self._scope.entered():
                if hasattr(self._chunks, "aclose"):
                    await self._chunks.aclose()
        finally:
            self._scope.end()

    def __del__(self) -> None:
        # A client left and Django dropped the response. Python would end a generator that is half read
        # in a task with a copy of whatever context dropped it last, which may be another tenant's. So it
        # is ended here, in a context of its own.
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(
                functools.partial(_run, self._chunks, self._scope), context=contextvars.Context()
            )


def _run(chunks: AsyncIterator[Any], scope: OutlivingScope) -> None:
    _endings.add(task := asyncio.ensure_future(AsyncStream(chunks, scope).aclose()))
    task.add_done_callback(_endings.discard)


#: Tasks that nobody awaits: the event loop itself holds them weakly.
_endings: set[asyncio.Future[None]] = set()
