from __future__ import annotations

from decimal import Decimal
from typing import Any

from catalog.models import Category, Product
from tenancy.rest.errors import Conflict
from tenancy.rest.serializers import StrictModelSerializer


class CategorySerializer(StrictModelSerializer):
    """A shelf for products, perhaps inside another."""

    class Meta:
        model = Category
        fields = ("id", "name", "description", "parent")

    def update(self, instance: Category, validated_data: dict[str, Any]) -> Category:
        # The view has locked the tree before it read the instance.
        parent = validated_data.get("parent")
        parents = self.context["tree"]
        ancestor = parent.pk if parent else None
        while ancestor is not None:
            if ancestor == instance.pk:
                raise Conflict("A category cannot be its own ancestor.")
            ancestor = parents.get(ancestor)
        return super().update(instance, validated_data)


class ProductSerializer(StrictModelSerializer):
    """Something the tenant sells. Money is text, so that no digit is lost."""

    class Meta:
        model = Product
        fields = (
            "id",
            "sku",
            "name",
            "description",
            "category",
            "price",
            "currency",
            "stock",
            "is_active",
            "created_at",
            "updated_at",
        )

    def validate_price(self, price: Decimal) -> Decimal:
        # "-0" is not less than zero, but is not what the database gives back either.
        return abs(price)
