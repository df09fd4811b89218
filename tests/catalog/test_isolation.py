"""Two tenants, same primary keys: what is one's never shows in the other's answers."""

from __future__ import annotations

import json
import uuid

import pytest

from catalog.models import Category, Product
from tenancy.context import tenant_context
from tenancy.testing import databases

pytestmark = databases("control", "acme", "globex")

METHODS = ("get", "head", "put", "patch", "delete")


def names(response):
    return [row["name"] for row in response.json()["results"]]


def rows(tenant_id):
    """Everything in one tenant's catalogue."""
    with tenant_context(tenant_id):
        return list(Category.objects.order_by("pk").values()), list(Product.objects.order_by("pk").values())


def headers(response):
    """All but the id that every request has for itself."""
    return {name: value for name, value in response.headers.items() if name != "X-Request-Id"}


def seen(response):
    return response.status_code, response.content, headers(response)


@pytest.fixture
def acme_only(db):
    """A category and a product that acme has and globex has not."""
    with tenant_context("acme"):
        category = Category.objects.create(name="Secret things")
        product = Product.objects.create(
            sku="S-1", name="Secret", category=category, price="1.00", currency="EUR"
        )
    return {"categories": category.pk, "products": product.pk}


def test_it_lists_the_tokens_tenants_products_only(ada, bob, twin_products):
    twin_products()
    assert names(ada.get("/api/products/")) == ["canary-acme"]
    assert names(bob.get("/api/products/")) == ["canary-globex"]


def test_it_lists_the_tokens_tenants_categories_only(ada, bob, twin_products):
    twin_products()
    assert names(ada.get("/api/categories/")) == ["Things of acme"]
    assert names(bob.get("/api/categories/")) == ["Things of globex"]


def test_it_reads_its_own_twin_of_an_equal_key(ada, bob, twin_products):
    product, _ = twin_products()
    assert ada.get(f"/api/products/{product.pk}/").json()["name"] == "canary-acme"
    assert bob.get(f"/api/products/{product.pk}/").json()["name"] == "canary-globex"


def test_the_same_user_sees_what_the_token_says(cast, twin_products):
    twin_products()
    for tenant_id in ("acme", "globex", "acme"):
        client = cast.client(cast.grace, tenant_id)
        assert names(client.get("/api/products/")) == [f"canary-{tenant_id}"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("collection", ["categories", "products"])
def test_anothers_object_is_a_random_id(ada, bob, acme_only, collection, method):
    bodies = {
        "put": {"name": "Mine now"} | ({"parent": None} if collection == "categories" else {}),
        "patch": {"name": "Mine now"},
    }
    before = rows("acme")

    def ask(client, pk):
        return getattr(client, method)(f"/api/{collection}/{pk}/", bodies.get(method), format="json")

    theirs = ask(bob, acme_only[collection])
    assert theirs.status_code == 404
    assert seen(theirs) == seen(ask(bob, uuid.uuid4()))
    assert rows("acme") == before
    # Without this the test would also pass where nobody has such an object.
    assert ada.get(f"/api/{collection}/{acme_only[collection]}/").status_code == 200


@pytest.mark.parametrize("headers", [{"HTTP_IF_MATCH": "*"}, {"HTTP_IF_NONE_MATCH": "*"}], ids=["if", "none"])
@pytest.mark.parametrize("method", METHODS)
def test_a_condition_does_not_tell_anothers_object_from_a_random_id(bob, acme_only, method, headers):
    theirs, random = (
        getattr(bob, method)(f"/api/products/{pk}/", **headers)
        for pk in (acme_only["products"], uuid.uuid4())
    )
    assert theirs.status_code == 404
    assert seen(theirs) == seen(random)


@pytest.mark.parametrize(
    ("collection", "field"), [("products", "category"), ("categories", "parent")], ids=["product", "category"]
)
@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_anothers_category_in_a_body_is_a_random_one(bob, acme_only, collection, field, method):
    with tenant_context("globex"):
        mine = Category.objects.create(name="Mine")
        own = {
            "categories": mine,
            "products": Product.objects.create(sku="P", name="P", category=mine, price="1", currency="EUR"),
        }[collection]
    before = rows("globex")
    url = f"/api/{collection}/" if method == "post" else f"/api/{collection}/{own.pk}/"
    body = {"name": "N"} | (
        {"sku": "N-1", "price": "1.00", "currency": "EUR"} if collection == "products" else {}
    )

    def answer(pk):
        response = getattr(bob, method)(url, body | {field: str(pk)}, format="json")
        return response.status_code, response.content.replace(str(pk).encode(), b"ID"), headers(response)

    theirs = answer(acme_only["categories"])
    assert theirs[0] == 400
    assert theirs == answer(uuid.uuid4())
    assert rows("globex") == before


def test_anothers_category_as_a_filter_is_the_same_empty_list(ada, bob, acme_only):
    theirs, random = (
        bob.get(f"/api/products/?category={pk}") for pk in (acme_only["categories"], uuid.uuid4())
    )
    assert theirs.status_code == 200
    assert theirs.json() == {"count": 0, "next": None, "previous": None, "results": []}
    assert seen(theirs) == seen(random)
    assert names(ada.get(f"/api/products/?category={acme_only['categories']}")) == ["Secret"]


@pytest.mark.parametrize(
    ("method", "body"),
    [("put", "whole"), ("patch", {"name": "Changed"}), ("delete", None)],
    ids=["put", "patch", "delete"],
)
def test_a_write_leaves_the_twin_of_the_other_tenant_alone(ada, twin_products, method, body):
    product, _ = twin_products()
    url = f"/api/products/{product.pk}/"
    acme, globex = rows("acme"), rows("globex")
    if body == "whole":
        body = ada.get(url).json() | {"name": "Changed"}
    assert getattr(ada, method)(url, body, format="json").status_code in (200, 204)
    assert rows("globex") == globex
    assert rows("acme") != acme


def test_a_category_can_be_deleted_while_its_twin_is_in_use(ada, bob, twin_products):
    product, _ = twin_products()
    assert ada.delete(f"/api/products/{product.pk}/").status_code == 204
    assert ada.delete(f"/api/categories/{product.category_id}/").status_code == 204
    assert bob.delete(f"/api/categories/{product.category_id}/").status_code == 409
    assert rows("acme") == ([], [])


def test_each_tenant_may_use_an_sku_of_the_other(ada, bob, twin_products):
    product, _ = twin_products()
    body = {"sku": "B-2", "name": "N", "category": product.category_id, "price": "1.00", "currency": "EUR"}
    assert ada.post("/api/products/", body, format="json").status_code == 201
    assert bob.post("/api/products/", body, format="json").status_code == 201


@pytest.mark.parametrize("header", ["X-Tenant", "X-Tenant-Id"])
@pytest.mark.parametrize("url", ["/api/products/", "/api/categories/", "/api/me/"])
def test_a_header_that_contradicts_the_token_is_refused(ada, header, url):
    response = ada.get(url, headers={header: "globex"})
    assert response.status_code == 400
    assert list(response.json()["errors"]) == [header]
    assert ada.get(url, headers={header: "acme"}).status_code == 200


@pytest.mark.parametrize("name", ["tenant", "tenant_id"])
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_a_parameter_that_names_a_tenant_is_refused(ada, twin_products, method, name):
    product, _ = twin_products()
    before = rows("acme"), rows("globex")
    url = "/api/products/" if method == "post" else f"/api/products/{product.pk}/"
    body = ada.get(f"/api/products/{product.pk}/").json() | {"sku": "B-2"}
    response = ada.generic(
        method.upper(), f"{url}?{name}=globex", json.dumps(body), content_type="application/json"
    )
    assert response.status_code == 400
    assert response.json()["errors"] == {name: ["Unknown parameter."]}
    assert (rows("acme"), rows("globex")) == before


@pytest.mark.parametrize("name", ["tenant", "tenant_id"])
def test_a_body_that_names_a_tenant_is_refused(ada, product_body, name):
    response = ada.post("/api/products/", product_body | {name: "globex"}, format="json")
    assert response.status_code == 400
    assert rows("globex") == ([], [])
