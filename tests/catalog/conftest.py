"""What the tests of the catalogue share: a category, a product, and many requests at one moment."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import override_settings

from catalog.models import Category, Product
from tenancy.context import tenant_context


@pytest.fixture
def category(db):
    """A category of acme."""
    with tenant_context("acme"):
        return Category.objects.create(name="Tools")


@pytest.fixture
def make_product(category):
    """Makes a product of acme. Each has an SKU of its own."""

    def make(**fields):
        values = {"sku": uuid.uuid4().hex, "name": "Hammer", "price": "9.50", "currency": "EUR"}
        with tenant_context("acme"):
            return Product.objects.create(**(values | {"category_id": category.pk} | fields))

    return make


@pytest.fixture
def product_body(category):
    """A complete and valid body for a product of acme."""
    return {
        "sku": "H-1",
        "name": "Hammer",
        "description": "It hits.",
        "category": str(category.pk),
        "price": "9.50",
        "currency": "EUR",
        "stock": 3,
        "is_active": True,
    }


@pytest.fixture
def at_once():
    """Runs functions in threads that set off together; returns what each returned.

    They wait for a connection for as long as a slow disk keeps the first of them: who is told that the
    database is busy is ``tests/tenancy/test_pool.py``'s question.
    """

    def run(*functions):
        barrier = threading.Barrier(len(functions))

        def work(function):
            try:
                barrier.wait(10)
                return function()
            finally:
                connections.close_all()

        with override_settings(TENANCY_POOL_WAIT=20), ThreadPoolExecutor(len(functions)) as pool:
            return list(pool.map(work, functions, timeout=60))

    return run
