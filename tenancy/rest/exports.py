"""All rows of a resource in one answer, streamed: a line of JSON each."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

#: Rows that are read, and sent, at a time.
_CHUNK = 200

_json = JSONRenderer()


class LinesRenderer(BaseRenderer):
    """For content negotiation only: the view writes the lines."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class ExportMixin:
    """Adds ``GET …/export/`` to a ``TenantModelViewSet``: what the list shows, filtered and ordered alike,
    but on no pages. Memory does not grow with the number of rows.

    The body is made while it is sent, in the tenant of the request. A database that fails before the first
    row is answered as on any call; one that fails later breaks the answer off.
    """

    list_actions = ("list", "export")

    def _begin(self) -> None:
        """In no transaction: it would end before the rows are read, and with it the cursor."""
        if self.action != "export":  # type: ignore[attr-defined]
            super()._begin()  # type: ignore[misc]

    def get_renderers(self) -> list[BaseRenderer]:
        renderers: list[BaseRenderer] = super().get_renderers()  # type: ignore[misc]
        return [LinesRenderer(), *renderers] if self.action == "export" else renderers  # type: ignore[attr-defined]

    @extend_schema(
        filters=True,
        responses={(200, LinesRenderer.media_type): OpenApiTypes.STR},
        description="Every row, one JSON object on a line, filtered and ordered as in the list.",
    )
    @action(detail=False, url_path="export", pagination_class=None)
    def export(self, request: Request) -> StreamingHttpResponse:
        view: Any = self
        rows = view.filter_queryset(view.get_queryset()).iterator(chunk_size=_CHUNK)
        body = _Begun(self._lines(rows)) if request.method == "GET" else ()
        return StreamingHttpResponse(body, content_type=LinesRenderer.media_type)

    def _lines(self, rows: Generator[Any, None, None]) -> Generator[bytes, None, None]:
        serializer: Any = self.get_serializer()  # type: ignore[attr-defined]
        with closing(rows):
            while chunk := list(itertools.islice(rows, _CHUNK)):
                yield b"".join(_json.render(serializer.to_representation(row)) + b"\n" for row in chunk)


class _Begun:
    """Chunks of which the first was made at once, while an error could still be an answer.

    ``close()`` is called by the server, also where the client left: it closes the cursor that is read from.
    """

    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks = chunks
        self._first = next(chunks, b"")
        self.close = chunks.close

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._chunks
