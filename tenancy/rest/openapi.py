"""The OpenAPI description of what every view has in common: errors, conditional requests, caching."""

from __future__ import annotations

import re
from typing import Any

from django.core.validators import MinValueValidator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.pagination import PageNumberPagination

from tenancy.rest.serializers import StrictMixin
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
    "401": "No token or key, or one that is not valid (any more).",
    "403": "Not your tenant, not your role, not for API keys, or a tenant that is suspended or read-only.",
    "404": "Not there. Another tenant's objects are never there.",
    "406": "Only `application/json` is spoken here.",
    "409": "A rule of the data forbids it.",
    "411": "The body came in chunks, without a Content-Length.",
    "412": "`If-Match` or `If-None-Match` failed.",
    "413": "The body is too large.",
    "415": "The body is not `application/json`.",
    "429": "Too many attempts; `Retry-After` says when to try again.",
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


_IGNORED = "Ignored, so that what was read can be sent back."
#: A character that ``str.strip()`` leaves. ``\s`` of JSON Schema (ECMA 262) knows fewer than Python.
_NOT_BLANK = r"[^\s\u001c-\u001f\u0085]"


class ApiSchema(AutoSchema):
    """Adds to each operation the errors it can answer with, and the conditional headers; and says what the
    library leaves out of what is accepted: no unknown names, no blank texts, no half a number."""

    def get_summary(self) -> str | None:
        summary: str | None = super().get_summary()
        if summary or not isinstance(self.view, TenantModelViewSet) or self.view.action not in _SUMMARIES:
            return summary  # an action of the app's own says in its docstring what it does
        meta = self.view.get_queryset().model._meta
        return _SUMMARIES[self.view.action].format(one=meta.verbose_name, all=meta.verbose_name_plural)

    def get_auth(self) -> list[dict[str, Any]]:
        """Without the schemes that a permission of the view refuses."""
        refused: set[str] = set()
        for permission in self.view.get_permissions():
            refused |= getattr(permission, "refused_schemes", frozenset())
        schemes: list[dict[str, Any]] = super().get_auth()
        return [scheme for scheme in schemes if not scheme.keys() & refused]

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
        if self.method != "GET":
            statuses += ["411"]
        if self.method in ("POST", "PUT", "PATCH"):
            statuses += ["413", "415"]
        if "{" in self.path or self._has_etag() or self._is_list_view():
            statuses += ["404"]
        if getattr(self.view, "is_braked", False):
            statuses += ["429"]
        if getattr(self.view, "has_rules", False) and self.method != "GET":
            statuses += ["409"]
        if self._has_etag() and self.method != "GET":
            statuses += ["409"]
            if getattr(self.view, "detail", False):
                statuses += ["412"]
        return statuses

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        ignored = [re.escape(name) for name, field in serializer.fields.items() if field.read_only]
        if direction == "request" and isinstance(serializer, StrictMixin):
            schema["additionalProperties"] = False
            if ignored:
                pattern = f"^({'|'.join(ignored)})$"
                schema["patternProperties"] = {pattern: {"description": _IGNORED}}
        return schema

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        schema = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if isinstance(field, serializers.DecimalField) and "pattern" in (schema or {}):
            schema["pattern"] = _decimal_pattern(field)
        return schema

    def _insert_field_validators(self, field: Any, schema: Any) -> None:
        super()._insert_field_validators(field, schema)  # type: ignore[no-untyped-call]
        if "minLength" in schema and getattr(field, "trim_whitespace", False):
            schema.setdefault("pattern", _NOT_BLANK)

    def _get_filter_parameters(self) -> Any:
        parameters = super()._get_filter_parameters()  # type: ignore[no-untyped-call]
        # Filters take an empty value for none, as a form sends it.
        return [{**parameter, "allowEmptyValue": True} for parameter in parameters]

    def _get_pagination_parameters(self) -> Any:
        parameters = super()._get_pagination_parameters()  # type: ignore[no-untyped-call]
        for parameter in parameters:
            if parameter["schema"]["type"] == "integer":
                parameter["schema"]["minimum"] = 1
            if parameter["name"] == PageNumberPagination.page_query_param:
                parameter["allowEmptyValue"] = True  # DRF takes it for the first
        return parameters

    def _get_paginator(self) -> Any:
        paginator = super()._get_paginator()  # type: ignore[no-untyped-call]
        if paginator is not None:
            describe = paginator.get_paginated_response_schema
            paginator.get_paginated_response_schema = lambda schema: _with_null_types(describe(schema))
        return paginator


def _decimal_pattern(field: Any) -> str:
    """What a decimal looks like as text. The library's pattern lets an empty text and a lone sign through."""
    unsigned = any(isinstance(each, MinValueValidator) and each.limit_value >= 0 for each in field.validators)
    sign = "" if unsigned else "-?"
    return rf"^{sign}[0-9]{{1,{field.max_whole_digits}}}(\.[0-9]{{1,{field.decimal_places}}})?$"


def _with_null_types(schema: Any) -> Any:
    """DRF's paginators speak OpenAPI 3.0: ``nullable`` means nothing in 3.1, where null is a type."""
    for described in schema["properties"].values():
        if described.pop("nullable", False):
            described["type"] = [described["type"], "null"]
    return schema
