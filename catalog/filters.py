from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from catalog.models import Product
from tenancy.rest.filters import StrictBooleanFilter, parse_boolean


@extend_schema_field({"type": "string", "format": "decimal", "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,2})?$"})
class PriceFilter(django_filters.NumberFilter):
    """An amount, as prices are written."""

    def __init__(self, lookup_expr: str) -> None:
        super().__init__("price", lookup_expr, max_digits=12, decimal_places=2)


class ProductFilter(django_filters.FilterSet):
    # By id, not by choice: a category of somebody else's is an empty list, like one that never was.
    category = django_filters.UUIDFilter(field_name="category_id")
    min_price = PriceFilter("gte")
    max_price = PriceFilter("lte")
    is_active = StrictBooleanFilter()

    class Meta:
        model = Product
        fields = ("category", "min_price", "max_price", "is_active")


class InStockFilterBackend(BaseFilterBackend):
    """``in_stock=true`` shows what can be delivered, ``false`` what cannot."""

    parameter = "in_stock"

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        text = request.query_params.get(self.parameter, "")
        if not text:
            return queryset
        try:
            wanted = parse_boolean(text)
        except ValueError:
            raise ValidationError({self.parameter: ["Write true or false."]}) from None
        return queryset.filter(stock__gt=0) if wanted else queryset.filter(stock=0)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": self.parameter,
                "required": False,
                "in": "query",
                "description": "Only products with (true) or without (false) stock.",
                "schema": {"type": "boolean"},
            }
        ]
