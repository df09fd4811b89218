"""``/api/products/``: every verb, the exact fields, money and times."""

from __future__ import annotations

import re
import uuid

import pytest

from catalog.models import Product
from tenancy.context import tenant_context
from tenancy.testing import databases

pytestmark = databases("control", "acme")

URL = "/api/products/"
FIELDS = {
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
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def count():
    with tenant_context("acme"):
        return Product.objects.count()


def test_it_creates_one(ada, product_body):
    response = ada.post(URL, product_body, format="json")
    body = response.json()
    assert response.status_code == 201
    assert response["Content-Type"] == "application/json"
    assert set(body) == FIELDS
    assert {name: body[name] for name in product_body} == product_body
    assert response["Location"] == f"{URL}{body['id']}/"
    read = ada.get(response["Location"])
    assert read.json() == body
    assert read["ETag"] == response["ETag"]


def test_what_is_left_out_has_a_default(ada, product_body):
    required = ("sku", "name", "category", "price", "currency")
    body = ada.post(URL, {name: product_body[name] for name in required}, format="json").json()
    assert (body["description"], body["stock"], body["is_active"]) == ("", 0, True)


@pytest.mark.parametrize("field", ["sku", "name", "category", "price", "currency"])
def test_what_is_required_is_named_when_it_is_missing(ada, product_body, field):
    del product_body[field]
    response = ada.post(URL, product_body, format="json")
    assert response.status_code == 400
    assert response.json()["errors"] == {field: ["This field is required."]}


def test_times_are_iso_8601_in_utc(ada, make_product):
    body = ada.get(f"{URL}{make_product().pk}/").json()
    assert TIME.fullmatch(body["created_at"])
    assert TIME.fullmatch(body["updated_at"])


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("9.5", "9.50"),
        ("0", "0.00"),
        ("-0", "0.00"),
        ("-0.00", "0.00"),
        ("9999999999.99", "9999999999.99"),
        ("1e3", "1000.00"),
        (9.5, "9.50"),
        (7, "7.00"),
        (0.1, "0.10"),
    ],
    ids=str,
)
def test_money_is_a_decimal_string_however_it_was_sent(ada, product_body, sent, answered):
    response = ada.post(URL, product_body | {"price": sent}, format="json")
    assert response.status_code == 201
    assert response.json()["price"] == answered
    read = ada.get(response["Location"])
    assert read.json()["price"] == answered
    assert read["ETag"] == response["ETag"]


def test_it_lists_whole_products(ada, make_product):
    product = make_product()
    body = ada.get(URL).json()
    assert {name: body[name] for name in ("count", "next", "previous")} == {
        "count": 1,
        "next": None,
        "previous": None,
    }
    assert body["results"] == [ada.get(f"{URL}{product.pk}/").json()]


def test_it_replaces_one(ada, make_product, product_body):
    product = make_product(sku="OLD", stock=99)
    response = ada.put(f"{URL}{product.pk}/", product_body, format="json")
    body = response.json()
    assert response.status_code == 200
    assert body["id"] == str(product.pk)
    assert {name: body[name] for name in product_body} == product_body
    assert ada.get(f"{URL}{product.pk}/").json() == body


def test_a_put_needs_the_whole_of_it(ada, make_product):
    response = ada.put(f"{URL}{make_product().pk}/", {"name": "New"}, format="json")
    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"sku", "category", "price", "currency"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sku", "X-9"),
        ("name", "Häm-mer 🔨 両刃鋸"),
        ("description", "two\nlines\tand a \\ and a ' and a \""),
        ("price", "0.01"),
        ("currency", "CHF"),
        ("stock", 2_147_483_647),
        ("is_active", False),
    ],
)
def test_it_changes_one_field_and_no_other(ada, make_product, field, value):
    url = f"{URL}{make_product().pk}/"
    before = ada.get(url).json()
    response = ada.patch(url, {field: value}, format="json")
    after = ada.get(url).json()
    assert response.status_code == 200
    assert response.json() == after
    assert after["updated_at"] > before["updated_at"]
    assert after | {"updated_at": before["updated_at"]} == before | {field: value}


def test_it_deletes_one(ada, make_product):
    url = f"{URL}{make_product().pk}/"
    response = ada.delete(url)
    assert (response.status_code, response.content) == (204, b"")
    assert ada.get(url).status_code == 404
    assert count() == 0


def test_what_was_read_can_be_written_back(ada, make_product):
    url = f"{URL}{make_product(description='D', stock=4, is_active=False).pk}/"
    read = ada.get(url).json()
    written = ada.put(url, read, format="json")
    assert written.status_code == 200
    assert written.json() | {"updated_at": read["updated_at"]} == read


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_read_only_fields_in_a_body_are_ignored(ada, make_product, product_body, method):
    url = URL if method == "post" else f"{URL}{make_product().pk}/"
    wrong = {"id": str(uuid.uuid4()), "created_at": "1999-12-31T23:59:59Z", "updated_at": ["not a time"]}
    response = getattr(ada, method)(url, product_body | wrong, format="json")
    assert response.status_code in (200, 201)
    assert response.json()["id"] != wrong["id"]
    assert response.json()["created_at"] != wrong["created_at"]
    assert response.json()["updated_at"] > "2000"


@pytest.mark.parametrize("slash", ["", "//"], ids=["none", "two"])
def test_a_path_without_its_one_slash_is_not_found_rather_than_redirected(ada, make_product, slash):
    product = make_product()
    for url in (f"/api/products{slash}", f"/api/products/{product.pk}{slash}"):
        assert ada.get(url).status_code == 404


def test_str_says_which(make_product):
    assert str(make_product(sku="H-1", name="Hammer")) == "H-1 Hammer"
