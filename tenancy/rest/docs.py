"""The API's description and the page that shows it: drf-spectacular's, with this API's manners."""

from __future__ import annotations

from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView

from tenancy.rest.views import ApiViewMixin


class AnyParameterMixin(ApiViewMixin):
    """For views of the library, whose parameters are its own affair."""

    def known_parameters(self) -> set[str]:
        return set(self.request.query_params)  # type: ignore[attr-defined]


class SchemaView(AnyParameterMixin, SpectacularJSONAPIView):  # type: ignore[misc]
    """OpenAPI 3.1."""


class DocsView(AnyParameterMixin, SpectacularSwaggerView):  # type: ignore[misc]
    """A page to read the description on, and to try calls from. Needs no other host."""
