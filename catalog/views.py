from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend

from catalog.filters import InStockFilterBackend, ProductFilter
from catalog.models import Category, Product
from catalog.serializers import CategorySerializer, ProductSerializer
from tenancy.rest.exports import ExportMixin
from tenancy.rest.filters import BoundedSearchFilter, StableOrderingFilter
from tenancy.rest.views import TenantModelViewSet


class CategoryViewSet(TenantModelViewSet):
    """What products are sorted into. A category may lie in another; one in use cannot be deleted."""

    queryset = Category.objects.all()
    serializer_class = CategorySerializer
    filter_backends = (BoundedSearchFilter, StableOrderingFilter)
    search_fields = ("name", "description")
    ordering_fields = ("name",)
    ordering = ("name",)

    def lock(self, queryset: QuerySet[Category]) -> QuerySet[Category]:
        self.tree = Category.objects.lock_tree()
        return queryset

    def get_serializer_context(self) -> dict[str, Any]:
        return super().get_serializer_context() | {"tree": getattr(self, "tree", {})}


class ProductViewSet(ExportMixin, TenantModelViewSet):
    """What the tenant sells. Send the ETag back in `If-Match` and nobody's change is overwritten."""

    queryset = Product.objects.all()
    serializer_class = ProductSerializer
    filterset_class = ProductFilter
    filter_backends = (DjangoFilterBackend, InStockFilterBackend, BoundedSearchFilter, StableOrderingFilter)
    search_fields = ("name", "sku", "description")
    ordering_fields = ("name", "sku", "price", "stock", "created_at", "updated_at")
    ordering = ("name",)
