"""Two tenants, same primary keys: what is one's never shows in the other's answers."""

from __future__ import annotations

import uuid

from tenancy.testing import databases

pytestmark = databases("control", "acme", "globex")


def test_it_lists_the_tokens_tenants_products_only(ada, bob, twin_products):
    twin_products()
    assert [row["name"] for row in ada.get("/api/products/").json()["results"]] == ["canary-acme"]
    assert [row["name"] for row in bob.get("/api/products/").json()["results"]] == ["canary-globex"]


def test_it_reads_its_own_twin_of_an_equal_key(ada, bob, twin_products):
    product, _ = twin_products()
    assert ada.get(f"/api/products/{product.pk}/").json()["name"] == "canary-acme"
    assert bob.get(f"/api/products/{product.pk}/").json()["name"] == "canary-globex"
