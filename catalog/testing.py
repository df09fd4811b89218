"""Two catalogues that differ in nothing but what they must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from catalog.models import Category, Product
from tenancy.testing import twins


@pytest.fixture
def twin_products(db: Any) -> Callable[..., list[Product]]:
    """Makes one product in acme and one in globex, equal in all but the name: also in the key."""

    def make(**fields: Any) -> list[Product]:
        acme, globex = twins(Category, ["acme", "globex"], name=lambda tenant_id: f"Things of {tenant_id}")
        assert acme.pk == globex.pk
        values = {
            "sku": "A-1",
            "name": lambda tenant_id: f"canary-{tenant_id}",
            "category_id": acme.pk,
            "price": "9.50",
            "currency": "EUR",
            "stock": 3,
        }
        return twins(Product, ["acme", "globex"], **(values | fields))

    return make
