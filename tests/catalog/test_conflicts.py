"""409: what the data forbids, alone and in a race. A write that fails leaves nothing behind."""

from __future__ import annotations

from functools import partial

import pytest
from rest_framework.exceptions import ValidationError

from catalog.models import Category, Product
from catalog.serializers import CategorySerializer, ProductSerializer
from tenancy.context import tenant_context
from tenancy.testing import databases

pytestmark = databases("control", "acme")

CATEGORIES = "/api/categories/"
PRODUCTS = "/api/products/"
ROUNDS = 4


def assert_conflict(response, detail):
    assert response.status_code == 409, response.content
    assert response.json() == {"detail": detail, "code": "conflict"}


def parents():
    with tenant_context("acme"):
        return dict(Category.objects.values_list("name", "parent__name"))


def has_loop(tree):
    for name in tree:
        seen = set()
        step = name
        while step is not None:
            if step in seen:
                return True
            seen.add(step)
            step = tree[step]
    return False


@pytest.fixture
def chain(db):
    """a > b > c > d: four categories, each below the one before."""
    made = {}
    with tenant_context("acme"):
        parent = None
        for name in "abcd":
            made[name] = parent = Category.objects.create(name=name, parent=parent)
    return made


def move(client, chain, name, below, method="patch"):
    return getattr(client, method)(
        f"{CATEGORIES}{chain[name].pk}/", {"name": name, "parent": str(chain[below].pk)}, format="json"
    )


def test_an_sku_is_taken_once(ada, make_product, product_body):
    make_product(sku="H-1")
    assert_conflict(ada.post(PRODUCTS, product_body, format="json"), "Another product has this SKU.")
    with tenant_context("acme"):
        assert Product.objects.count() == 1


@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_change_to_a_taken_sku_changes_nothing(ada, make_product, product_body, method):
    make_product(sku="H-1")
    other = make_product(sku="H-2", name="Other")
    response = getattr(ada, method)(f"{PRODUCTS}{other.pk}/", product_body, format="json")
    assert_conflict(response, "Another product has this SKU.")
    with tenant_context("acme"):
        other.refresh_from_db()
    assert (other.sku, other.name) == ("H-2", "Other")


def test_a_product_keeps_its_own_sku(ada, make_product, product_body):
    product = make_product(sku="H-1")
    assert ada.put(f"{PRODUCTS}{product.pk}/", product_body, format="json").status_code == 200


def test_a_category_with_products_stays(ada, category, make_product):
    make_product()
    assert_conflict(
        ada.delete(f"{CATEGORIES}{category.pk}/"), "It is still in use. Change or delete what uses it first."
    )
    assert parents() == {"Tools": None}


def test_a_category_with_children_stays(ada, chain):
    assert_conflict(
        ada.delete(f"{CATEGORIES}{chain['c'].pk}/"),
        "It is still in use. Change or delete what uses it first.",
    )
    assert ada.delete(f"{CATEGORIES}{chain['d'].pk}/").status_code == 204
    assert parents() == {"a": None, "b": "a", "c": "b"}


@pytest.mark.parametrize("method", ["put", "patch"])
@pytest.mark.parametrize("below", list("abcd"))
def test_a_category_is_never_below_itself(ada, chain, below, method):
    before = parents()
    assert_conflict(move(ada, chain, "a", below, method), "A category cannot be its own ancestor.")
    assert parents() == before


def test_a_category_may_move_anywhere_else(ada, chain):
    for name, below in (("d", "a"), ("c", "a"), ("b", "d"), ("c", "b")):
        assert move(ada, chain, name, below).status_code == 200
    assert parents() == {"a": None, "d": "a", "b": "d", "c": "b"}


def test_the_database_holds_the_rules_too(ada, chain, monkeypatch):
    """Were the serializer's check to go, a constraint would still refuse the shortest loop."""
    monkeypatch.setattr(CategorySerializer, "update", super(CategorySerializer, CategorySerializer).update)
    assert_conflict(move(ada, chain, "a", "a"), "A category cannot be its own parent.")


@pytest.mark.parametrize("field", ["name", "sku", "price", "currency"])
def test_a_rule_that_only_the_database_has_is_a_conflict_too(ada, make_product, monkeypatch, field):
    """Were validation to let something through, the database would not, and it is no 500."""
    bad = {"name": "", "sku": "", "price": "-1.00", "currency": "eur"}
    product = make_product()
    monkeypatch.setattr(
        ProductSerializer, "validate", lambda _, data: data | {field: bad[field]}, raising=False
    )
    response = ada.patch(f"{PRODUCTS}{product.pk}/", {"stock": 1}, format="json")
    assert_conflict(response, "A rule of the data forbids this.")


@pytest.mark.parametrize(
    ("serializer", "url", "body"),
    [
        (CategorySerializer, CATEGORIES, {"name": "New"}),
        (ProductSerializer, PRODUCTS, {"sku": "N", "name": "New", "price": "1.00", "currency": "EUR"}),
    ],
    ids=["category", "product"],
)
@pytest.mark.parametrize("method", ["post", "patch"])
def test_an_error_after_the_write_takes_it_back(
    ada, make_product, monkeypatch, serializer, url, body, method
):
    """DRF turns the error into an answer, so nobody above would roll back."""
    product = make_product()
    stock = serializer.save
    written = []

    def save_and_refuse(self, **kwargs):
        written.append(stock(self, **kwargs).pk)
        raise ValidationError("Too late.")

    monkeypatch.setattr(serializer, "save", save_and_refuse)
    if url == PRODUCTS:
        body = body | {"category": str(product.category_id)}
    if method == "patch":
        url += f"{product.pk if url == PRODUCTS else product.category_id}/"
    response = getattr(ada, method)(url, body, format="json")
    assert response.status_code == 400
    assert written
    with tenant_context("acme"):
        assert [row.name for row in Category.objects.all()] == ["Tools"]
        assert [row.name for row in Product.objects.all()] == ["Hammer"]


def test_an_error_after_a_delete_takes_it_back(ada, make_product, monkeypatch):
    product = make_product()

    def delete_and_refuse(self, instance):
        instance.delete()
        raise ValidationError("Too late.")

    monkeypatch.setattr("catalog.views.ProductViewSet.perform_destroy", delete_and_refuse)
    assert ada.delete(f"{PRODUCTS}{product.pk}/").status_code == 400
    assert ada.get(f"{PRODUCTS}{product.pk}/").status_code == 200


@databases("control", "acme", transaction=True)
def test_of_two_who_take_an_sku_at_once_one_gets_it(cast, category, product_body, at_once):
    clients = [cast.client(cast.ada, "acme") for _ in range(2)]
    for number in range(ROUNDS):
        body = product_body | {"sku": f"RACE-{number}"}
        responses = at_once(*(partial(client.post, PRODUCTS, body, format="json") for client in clients))
        won, lost = sorted(responses, key=lambda response: response.status_code)
        assert won.status_code == 201
        assert_conflict(lost, "Another product has this SKU.")
    with tenant_context("acme"):
        assert Product.objects.count() == ROUNDS


@databases("control", "acme", transaction=True)
@pytest.mark.parametrize(
    "moves", [[("a", "b"), ("b", "a")], [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]], ids=["two", "four"]
)
def test_of_moves_at_once_that_would_close_a_loop_one_is_refused(cast, at_once, moves):
    clients = [cast.client(cast.ada, "acme") for _ in moves]
    for _ in range(ROUNDS):
        with tenant_context("acme"):
            Category.objects.update(parent=None)
            Category.objects.all().delete()
            tops = {name: Category.objects.create(name=name) for name in "abcd"}
        responses = at_once(
            *(partial(move, client, tops, *pair) for client, pair in zip(clients, moves, strict=True))
        )
        statuses = sorted(response.status_code for response in responses)
        assert statuses == [200] * (len(moves) - 1) + [409]
        assert not has_loop(parents())


def test_a_loop_would_be_seen():
    assert has_loop({"a": "b", "b": "c", "c": "a"})
    assert has_loop({"a": None, "b": "b"})
    assert not has_loop({"a": None, "b": "a", "c": "b"})


@databases("control", "acme", transaction=True)
def test_a_category_is_not_deleted_under_a_new_product(cast, category, product_body, at_once):
    clients = [cast.client(cast.ada, "acme") for _ in range(2)]
    for number in range(ROUNDS):
        pk = clients[0].post(CATEGORIES, {"name": f"Round {number}"}, format="json").json()["id"]
        body = product_body | {"sku": f"RACE-{number}", "category": pk}
        deleted, created = at_once(
            lambda pk=pk: clients[0].delete(f"{CATEGORIES}{pk}/"),
            lambda body=body: clients[1].post(PRODUCTS, body, format="json"),
        )
        assert (deleted.status_code, created.status_code) in {(204, 400), (204, 409), (409, 201)}
        with tenant_context("acme"):
            there = Category.objects.filter(pk=pk).exists()
            assert there == (deleted.status_code == 409)
            assert Product.objects.filter(category_id=pk).exists() == there


@databases("control", "acme", transaction=True)
def test_a_category_is_not_deleted_above_a_new_child(cast, at_once):
    clients = [cast.client(cast.ada, "acme") for _ in range(2)]
    for number in range(ROUNDS):
        pk = clients[0].post(CATEGORIES, {"name": f"Round {number}"}, format="json").json()["id"]
        deleted, created = at_once(
            lambda pk=pk: clients[0].delete(f"{CATEGORIES}{pk}/"),
            lambda pk=pk: clients[1].post(CATEGORIES, {"name": "Child", "parent": pk}, format="json"),
        )
        assert (deleted.status_code, created.status_code) in {(204, 400), (204, 409), (409, 201)}
        with tenant_context("acme"):
            assert Category.objects.filter(parent=pk).exists() == Category.objects.filter(pk=pk).exists()
