"""The OpenAPI description of what every view has in common: errors, conditional requests, caching."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from tenancy.rest.views import TenantModelViewSet


class ErrorSerializer(serializers.Serializer[object]):
    """How every error looks."""

    detail = serializers.CharField(help_text="A sentence for people.")
    code = serializers.CharField(help_text="A word for machines.")
    # A field may have the name of a serializer's own attribute: DRF takes fields out of the class.
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="By field, with code `invalid`.",
    )


_ERRORS = {
    "400": "Malformed, of the wrong type, or with an unknown field or parameter.",
    "401": "No token, or one that is not valid (any more).",
    "403": "Not your tenant, not your role, or a tenant that is suspended or read-only.",
    "404": "Not there. Another tenant's objects are never there.",
    "406": "Only `application/json` is spoken here.",
    "409": "A rule of the data forbids it.",
    "411": "The body came in chunks, without a Content-Length.",
    "412": "`If-Match` or `If-None-Match` failed.",
    "413": "The body is too large.",
    "415": "The body is not `application/json`.",
    "503": "A database cannot be used now; `Retry-After` says when to try again.",
}
_ETAG_HEADERS = {
    "If-Match": "Write only if the object still has this ETag, else 412.",
    "If-None-Match": "Answer 304 without a body if the ETag is still this one.",
}


_SUMMARIES = {
    "list": "List {all}",
    "export": "Export {all}",
    "create": "Create a {one}",
    "retrieve": "Read one {one}",
    "update": "Replace a {one}",
    "partial_update": "Change some of a {one}",
    "destroy": "Delete a {one}",
}


class ApiSchema(AutoSchema):
    """Adds to each operation the errors it can answer with, and the conditional headers."""

    def get_summary(self) -> str | None:
        summary: str | None = super().get_summary()
        if summary or not isinstance(self.view, TenantModelViewSet):
            return summary
        meta = self.view.get_queryset().model._meta
        return _SUMMARIES[self.view.action].format(one=meta.verbose_name, all=meta.verbose_name_plural)

    def get_override_parameters(self) -> list[Any]:
        if not self._has_etag() or self.method == "POST":
            return []
        name = "If-None-Match" if self.method == "GET" else "If-Match"
        return [OpenApiParameter(name, str, OpenApiParameter.HEADER, description=_ETAG_HEADERS[name])]

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        for status in self._error_statuses():
            if status not in bodies:
                response = OpenApiResponse(ErrorSerializer, description=_ERRORS[status])
                describe: Any = self._get_response_for_code  # untyped in the library
                bodies[status] = describe(response, status, ["application/json"], direction=direction)
        if self._has_etag() and self.method == "GET":
            bodies["304"] = {"description": "Unchanged since the ETag in `If-None-Match`."}
        return dict(sorted(bodies.items()))

    def _has_etag(self) -> bool:
        """Whether the answer is a representation of rows as they are; what is streamed has no tag."""
        return isinstance(self.view, TenantModelViewSet) and self.view.action in _SUMMARIES.keys() - {
            "export"
        }

    def _error_statuses(self) -> list[str]:
        statuses = ["400", "401", "403", "406", "503"]
        if self.method in ("POST", "PUT", "PATCH"):
            statuses += ["411", "413", "415"]
        if self._has_etag():
            statuses += ["404"]
            if self.method != "GET":
                statuses += ["409"]
                if getattr(self.view, "detail", False):
                    statuses += ["412"]
        return statuses
