"""What a request costs: a fixed number of queries, whoever asks and however much there is."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from catalog.models import Product
from tenancy.context import tenant_context
from tenancy.testing import databases

pytestmark = databases("control", "acme")


@pytest.fixture
def cost():
    """The statements of one call, by alias. The call is made once before: a new connection shakes hands."""

    def measure(function):
        function()
        with ExitStack() as stack:
            captured = {
                alias: stack.enter_context(CaptureQueriesContext(connections[alias]))
                for alias in ("control", "acme")
            }
            response = function()
        assert response.status_code < 300
        return {alias: [query["sql"] for query in queries] for alias, queries in captured.items()}

    return measure


def counts(statements):
    return {alias: len(queries) for alias, queries in statements.items()}


def add_products(category, number):
    with tenant_context("acme"):
        Product.objects.bulk_create(
            Product(sku=f"X-{each}", name="Same", price="1.00", currency="EUR", category=category)
            for each in range(number)
        )


def test_reading_one_product_takes_two_selects(ada, make_product, cost):
    url = f"/api/products/{make_product().pk}/"
    statements = cost(lambda: ada.get(url))
    assert counts(statements) == {"control": 1, "acme": 1}
    assert all(sql.startswith("SELECT") for queries in statements.values() for sql in queries)


def test_a_304_takes_two_selects_as_well(ada, make_product, cost):
    url = f"/api/products/{make_product().pk}/"
    etag = ada.get(url)["ETag"]
    ada.credentials(**ada._credentials, HTTP_IF_NONE_MATCH=etag)
    function = lambda: ada.get(url)  # noqa: E731
    assert function().status_code == 304
    with CaptureQueriesContext(connections["acme"]) as captured:
        function()
    assert len(captured) == 1


@pytest.mark.parametrize(
    "query",
    [
        "",
        "page_size=200",
        "search=same",
        "ordering=-price,name",
        "is_active=true&in_stock=false&min_price=0.5",
    ],
)
def test_a_list_takes_three_however_long_it_is(ada, category, make_product, cost, query):
    make_product(name="Same", stock=0)
    few = cost(lambda: ada.get(f"/api/products/?{query}"))
    assert counts(few) == {"control": 1, "acme": 2}
    assert all(sql.startswith("SELECT") for queries in few.values() for sql in queries)
    add_products(category, 60)
    assert counts(cost(lambda: ada.get(f"/api/products/?{query}"))) == counts(few)


def test_a_list_of_categories_takes_three(ada, category, cost):
    assert counts(cost(lambda: ada.get("/api/categories/"))) == {"control": 1, "acme": 2}


def test_asking_who_one_is_touches_no_tenant(ada, cost):
    assert counts(cost(lambda: ada.get("/api/me/"))) == {"control": 1, "acme": 0}


def test_a_write_costs_the_same_however_much_there_is(ada, category, make_product, cost):
    url = f"/api/products/{make_product().pk}/"
    few = counts(cost(lambda: ada.patch(url, {"stock": 1}, format="json")))
    assert few["control"] == 1
    add_products(category, 60)
    assert counts(cost(lambda: ada.patch(url, {"stock": 2}, format="json"))) == few


def test_livez_touches_no_database(client, cost):
    assert counts(cost(lambda: client.get("/livez"))) == {"control": 0, "acme": 0}
