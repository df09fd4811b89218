"""Query parameters that are refused when they mean nothing."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.request import Request


def parse_boolean(text: str) -> bool:
    """``true`` or ``false``, in any case. Raises ``ValueError`` for anything else."""
    match text.lower():
        case "true":
            return True
        case "false":
            return False
    raise ValueError(text)


class _StrictBooleanField(forms.CharField):
    def clean(self, value: Any) -> bool | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_boolean(text)
        except ValueError:
            raise forms.ValidationError("Write true or false.") from None


class StrictBooleanFilter(django_filters.BooleanFilter):  # type: ignore[misc]  # untyped library
    """``true`` or ``false``. Stock takes everything else for "no filter", and shows what was to be hidden."""

    field_class = _StrictBooleanField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra.pop("widget", None)


class BoundedSearchFilter(SearchFilter):
    """Refuses a search longer than anybody means. Stock builds a condition for each word and field, and
    SQLite has limits (on the depth of a query, on a pattern) beyond which it raises."""

    max_length = 200

    def get_search_terms(self, request: Request) -> list[str]:
        if len(request.query_params.get(self.search_param, "")) > self.max_length:
            raise ValidationError({self.search_param: [f"At most {self.max_length} characters."]})
        try:
            terms: list[str] = super().get_search_terms(request)
        except ValidationError as exc:
            raise ValidationError({self.search_param: exc.detail}) from None
        return terms

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        (parameter,) = super().get_schema_operation_parameters(view)
        parameter["schema"]["maxLength"] = self.max_length
        return [parameter]


class StableOrderingFilter(OrderingFilter):
    """Orders by the fields a view allows, refuses others, and breaks ties by key so that pages are stable."""

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Any) -> list[str]:
        valid = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        unknown = [field for field in fields if field.removeprefix("-") not in valid]
        if unknown:
            raise ValidationError({self.ordering_param: [f"Order by {', '.join(valid)}; '-' reverses."]})
        return list(fields)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        (parameter,) = super().get_schema_operation_parameters(view)
        field = f"-?({'|'.join(view.ordering_fields)})"
        parameter["schema"]["pattern"] = f"^{field}(,{field})*$"
        parameter["description"] = (
            f"By {', '.join(view.ordering_fields)}; several with commas, '-' before a name reverses it."
        )
        return [parameter]

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        ordering = list(self.get_ordering(request, queryset, view) or ())
        return queryset.order_by(*ordering, "pk")
