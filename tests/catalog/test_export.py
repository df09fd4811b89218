"""All products in one streamed answer."""

from __future__ import annotations

import json
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connections
from django.test import AsyncClient, override_settings

from catalog.models import Product
from tenancy.context import current_tenant, tenant_context
from tenancy.rest import exports
from tenancy.testing import databases

pytestmark = databases("control", "acme", "globex")

URL = "/api/products/export/"


def lines(response):
    return [json.loads(line) for line in response.getvalue().splitlines()]


@pytest.fixture
def many(twin_products):
    """Five products in acme, so that chunks of two are three."""
    product, _ = twin_products()
    with tenant_context("acme"):
        for number in range(4):
            Product.objects.create(
                sku=f"P-{number}",
                name=f"canary-acme-{number}",
                category_id=product.category_id,
                price=number,
                currency="EUR",
                stock=number % 2,
            )
    with mock.patch.object(exports, "_CHUNK", 2):
        yield product


def test_it_has_every_product_of_the_tokens_tenant_only(ada, bob, many):
    ours, theirs = lines(ada.get(URL)), lines(bob.get(URL))
    assert [row["name"] for row in ours] == ["canary-acme", *(f"canary-acme-{number}" for number in range(4))]
    assert [row["name"] for row in theirs] == ["canary-globex"]
    assert theirs[0]["id"] == ours[0]["id"] == str(many.pk)
    assert current_tenant() is None


def test_a_line_is_what_the_detail_answers(ada, many):
    row = next(row for row in lines(ada.get(URL)) if row["id"] == str(many.pk))
    assert row == ada.get(f"/api/products/{many.pk}/").json()


def test_it_is_filtered_and_ordered_as_the_list_is(ada, many):
    rows = lines(ada.get(f"{URL}?in_stock=true&min_price=1&ordering=-price"))
    assert [row["price"] for row in rows] == ["9.50", "3.00", "1.00"]


@pytest.mark.parametrize("query", ["page=1", "page_size=5", "tenant=globex", "ordering=colour", "in_stock=x"])
def test_what_it_does_not_know_is_refused_in_json(ada, query):
    response = ada.get(f"{URL}?{query}")
    assert (response.status_code, response["Content-Type"]) == (400, "application/json")
    assert response.json()["code"] == "invalid"


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/x-ndjson", 200), ("*/*", 200), ("application/json", 200), ("text/html", 406)],
)
def test_it_answers_lines_of_json(ada, many, accept, status):
    response = ada.get(URL, headers={"Accept": accept})
    assert response.status_code == status
    assert response["Content-Type"] == ("application/x-ndjson" if status == 200 else "application/json")
    response.close()


def test_no_products_are_no_lines(ada):
    response = ada.get(URL)
    assert (response.status_code, response.getvalue()) == (200, b"")
    assert response["Cache-Control"] == "private, no-cache"


def test_head_makes_no_body(ada, many, django_assert_num_queries):
    with django_assert_num_queries(0, using="acme"):
        response = ada.head(URL)
    assert (response.status_code, response.getvalue()) == (200, b"")


def test_a_viewer_may_and_a_stranger_may_not(grace, client, many):
    assert len(lines(grace.get(URL))) == 5
    assert client.get(URL).status_code == 401


def test_a_database_that_fails_at_first_is_an_answer(ada, many, monkeypatch):
    def fail(*args, **kwargs):
        error = OperationalError("gone")
        error.alias = "acme"
        raise error

    monkeypatch.setattr("tenancy.querysets.TenantQuerySet._iterator", fail)
    response = ada.get(URL)
    assert (response.status_code, response.json()["code"]) == (503, "tenant_unavailable")
    assert response["Retry-After"]


@databases("control", "acme", "globex", transaction=True)
@pytest.mark.parametrize("pulled", [0, 1])
def test_a_client_that_leaves_closes_the_cursor(ada, many, monkeypatch, pulled):
    opened, closed = [], []
    connection = connections["acme"]
    make = connection.chunked_cursor

    def chunked_cursor():
        cursor = make()
        opened.append(cursor)
        monkeypatch.setattr(cursor, "close", lambda close=cursor.close: closed.append(close()), raising=False)
        return cursor

    # On the connection itself, where pytest-django puts its own, which would hide one of the class.
    monkeypatch.setattr(connection, "chunked_cursor", chunked_cursor)
    # Held here, so that it is closed because the response is, and not because nobody holds it any more.
    kept = []
    lines = exports.ExportMixin._lines
    monkeypatch.setattr(
        exports.ExportMixin, "_lines", lambda view, rows: kept.append(lines(view, rows)) or kept[0]
    )
    response = ada.get(URL)
    body = iter(response)
    for _ in range(pulled):
        next(body)
    assert (len(opened), len(closed)) == (1, 0)
    response.close()
    assert len(closed) == 1


def test_under_asgi_each_tenant_gets_its_own(ada, bob, many):
    async def ask(client):
        token = client._credentials["HTTP_AUTHORIZATION"]
        response = await AsyncClient().get(URL, headers={"Authorization": token})
        return b"".join([chunk async for chunk in response]).decode()

    ours, theirs = async_to_sync(ask)(ada), async_to_sync(ask)(bob)
    assert ours.count("canary-acme") == 5
    assert "globex" not in ours
    assert theirs.count("canary-globex") == 1
    assert "acme" not in theirs


@databases("control", "acme", "globex", transaction=True)
def test_rows_that_are_read_after_the_call_are_in_no_transaction_that_has_ended(ada, many):
    """With the call's transaction the cursor would end."""
    with override_settings(TENANCY_ATOMIC_REQUESTS=True):
        assert len(lines(ada.get(URL))) == 5
