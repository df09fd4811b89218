from __future__ import annotations

import django_filters

from benchmarks.comparators.catalog.models import Product
from tenancy.rest.filters import StrictBooleanFilter


def _price(lookup: str) -> django_filters.NumberFilter:
    return django_filters.NumberFilter("price", lookup, max_digits=12, decimal_places=2)


class ProductFilter(django_filters.FilterSet):
    category = django_filters.UUIDFilter(field_name="category_id")
    min_price = _price("gte")
    max_price = _price("lte")
    is_active = StrictBooleanFilter()

    class Meta:
        model = Product
        fields = ("category", "min_price", "max_price", "is_active")
