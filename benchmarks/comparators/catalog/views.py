from __future__ import annotations

from typing import Any

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework import viewsets
from rest_framework.filters import BaseFilterBackend, OrderingFilter, SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response

from benchmarks.comparators.catalog.filters import ProductFilter
from benchmarks.comparators.catalog.models import Category, Product
from benchmarks.comparators.catalog.serializers import (
    CategorySerializer,
    ProductSerializer,
    StockCategorySerializer,
    StockProductSerializer,
)
from tenancy.rest.filters import BoundedSearchFilter, StableOrderingFilter, parse_boolean
from tenancy.rest.views import TenantModelViewSet


class PlainModelViewSet(TenantModelViewSet):
    """The project's views, with Django's own transaction around a write."""

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._read_body()
        with transaction.atomic():
            return viewsets.ModelViewSet.create(self, request, *args, **kwargs)


class InStockFilterBackend(BaseFilterBackend):
    parameter = "in_stock"

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        text = request.query_params.get(self.parameter, "")
        if not text:
            return queryset
        return queryset.filter(stock__gt=0) if parse_boolean(text) else queryset.filter(stock=0)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [{"name": self.parameter}]


class CategoryViewSet(PlainModelViewSet):
    queryset = Category.objects.all()
    serializer_class = CategorySerializer
    filter_backends = (BoundedSearchFilter, StableOrderingFilter)
    search_fields = ("name", "description")
    ordering_fields = ("name",)
    ordering = ("name",)


class ProductViewSet(PlainModelViewSet):
    queryset = Product.objects.all()
    serializer_class = ProductSerializer
    filterset_class = ProductFilter
    filter_backends = (DjangoFilterBackend, InStockFilterBackend, BoundedSearchFilter, StableOrderingFilter)
    search_fields = ("name", "sku", "description")
    ordering_fields = ("name", "sku", "price", "stock", "created_at", "updated_at")
    ordering = ("name",)


class _StockProductFilter(FilterSet):
    min_price = django_filters.NumberFilter("price", "gte")
    max_price = django_filters.NumberFilter("price", "lte")

    class Meta:
        model = Product
        fields = ("category", "is_active")


class StockCategoryViewSet(viewsets.ModelViewSet):
    """DRF as its tutorial has it: no ETags, nothing unknown refused."""

    queryset = Category.objects.all()
    serializer_class = StockCategorySerializer
    filter_backends = (SearchFilter, OrderingFilter)
    search_fields = ("name", "description")
    ordering_fields = ("name",)
    ordering = ("name", "id")

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            return super().create(request, *args, **kwargs)


class StockProductViewSet(StockCategoryViewSet):
    queryset = Product.objects.all()
    serializer_class = StockProductSerializer
    filterset_class = _StockProductFilter
    filter_backends = (DjangoFilterBackend, SearchFilter, OrderingFilter)
    search_fields = ("name", "sku", "description")
    ordering_fields = ("name", "sku", "price", "stock", "created_at", "updated_at")
