from __future__ import annotations

from decimal import Decimal

from rest_framework import serializers

from benchmarks.comparators.catalog.models import Category, Product
from tenancy.rest.serializers import StrictModelSerializer

CATEGORY_FIELDS = ("id", "name", "description", "parent")
PRODUCT_FIELDS = (
    *("id", "sku", "name", "description", "category", "price", "currency"),
    *("stock", "is_active", "created_at", "updated_at"),
)


class CategorySerializer(StrictModelSerializer):
    class Meta:
        model = Category
        fields = CATEGORY_FIELDS


class ProductSerializer(StrictModelSerializer):
    class Meta:
        model = Product
        fields = PRODUCT_FIELDS

    def validate_price(self, price: Decimal) -> Decimal:
        return abs(price)


class StockCategorySerializer(serializers.ModelSerializer):
    class Meta:
        model = Category
        fields = CATEGORY_FIELDS


class StockProductSerializer(serializers.ModelSerializer):
    class Meta:
        model = Product
        fields = PRODUCT_FIELDS
        # Left to the database, as in the other variants.
        validators: list[object] = []
        extra_kwargs = {"sku": {"validators": []}}
