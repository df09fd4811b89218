"""The API's description and the page that shows it: drf-spectacular's, with this API's manners."""

from __future__ import annotations

from typing import Any

from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from tenancy.rest.views import ApiViewMixin


class ErrorsInJsonMixin(ApiViewMixin):
    """For views that answer in a format of their own: their errors are JSON all the same."""

    def known_parameters(self) -> set[str]:
        return set(self.request.query_params)  # type: ignore[attr-defined]  # the library's own affair

    def handle_exception(self, exc: Exception) -> Response:
        response: Response = super().handle_exception(exc)  # type: ignore[misc]
        request: Any = self.request  # type: ignore[attr-defined]
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type
        return response


class SchemaView(ErrorsInJsonMixin, SpectacularJSONAPIView):  # type: ignore[misc]
    """OpenAPI 3.1."""


class DocsView(ErrorsInJsonMixin, SpectacularSwaggerView):  # type: ignore[misc]
    """A page to read the description on, and to try calls from. Needs no other host."""
