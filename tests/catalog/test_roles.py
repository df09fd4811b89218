"""Who may do what: everybody of the cast, on every call."""

from __future__ import annotations

import uuid

import pytest
from rest_framework.test import APIClient

from catalog.models import Category, Product
from tenancy.context import tenant_context
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases
from users.models import Membership, Role
from users.permissions import MayUseTenant

pytestmark = databases("control", "acme", "globex")

# Who, in which tenant, with what right.
WRITERS = [("ada", "acme"), ("bob", "globex"), ("grace", "globex")]
READERS = [*WRITERS, ("grace", "acme")]
WRITES = ("post", "put", "patch", "delete")


@pytest.fixture
def twin(twin_products):
    """A product with an equal key in both tenants."""
    return twin_products()[0]


def call(client, method, collection, twin):
    body = {
        "categories": {"name": "New"},
        "products": {
            "sku": uuid.uuid4().hex,
            "name": "New",
            "category": str(twin.category_id),
            "price": "1.00",
            "currency": "EUR",
        },
    }[collection]
    pk = twin.pk if collection == "products" else twin.category_id
    url = f"/api/{collection}/" if method in ("post", "list") else f"/api/{collection}/{pk}/"
    if method in ("list", "get", "head"):
        return client.head(url) if method == "head" else client.get(url)
    return getattr(client, method)(url, body, format="json")


def rows(tenant_id):
    with tenant_context(tenant_id):
        return list(Category.objects.order_by("pk").values()), list(Product.objects.order_by("pk").values())


@pytest.mark.parametrize("collection", ["categories", "products"])
@pytest.mark.parametrize("method", ["list", "get", "head"])
@pytest.mark.parametrize(("who", "where"), READERS, ids=lambda value: value)
def test_every_member_reads(cast, twin, who, where, method, collection):
    client = cast.client(getattr(cast, who), where)
    assert call(client, method, collection, twin).status_code == 200


@pytest.mark.parametrize("collection", ["categories", "products"])
@pytest.mark.parametrize("method", ["post", "put", "patch"])
@pytest.mark.parametrize(("who", "where"), WRITERS, ids=lambda value: value)
def test_owners_admins_and_members_write(cast, twin, who, where, method, collection):
    client = cast.client(getattr(cast, who), where)
    assert call(client, method, collection, twin).status_code == (201 if method == "post" else 200)


@pytest.mark.parametrize(("who", "where"), WRITERS, ids=lambda value: value)
def test_owners_admins_and_members_delete(cast, twin, who, where):
    client = cast.client(getattr(cast, who), where)
    assert call(client, "delete", "products", twin).status_code == 204
    assert call(client, "delete", "categories", twin).status_code == 204
    assert rows(where) == ([], [])


@pytest.mark.parametrize("collection", ["categories", "products"])
@pytest.mark.parametrize("method", WRITES)
def test_a_viewer_does_not_write(cast, grace, twin, method, collection):
    before = rows("acme"), rows("globex")
    response = call(grace, method, collection, twin)
    assert response.status_code == 403
    assert response.json() == {"detail": "Your role may read but not change this.", "code": "forbidden"}
    assert (rows("acme"), rows("globex")) == before


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_viewer_learns_nothing_by_writing(grace, twin, method):
    there = getattr(grace, method)(f"/api/products/{twin.pk}/", {}, format="json")
    random = getattr(grace, method)(f"/api/products/{uuid.uuid4()}/", {}, format="json")
    assert (there.status_code, there.content) == (random.status_code, random.content)
    assert there.status_code == 403


@pytest.mark.parametrize("collection", ["categories", "products"])
@pytest.mark.parametrize("method", ["list", "get", "head", *WRITES])
def test_nobody_does_nothing(twin, method, collection):
    before = rows("acme"), rows("globex")
    response = call(APIClient(), method, collection, twin)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    if method != "head":
        assert response.json()["code"] == "not_authenticated"
    assert (rows("acme"), rows("globex")) == before


@pytest.mark.parametrize("tenant_id", ["acme", "globex", "nowhere"])
@pytest.mark.parametrize("method", ["list", "get", *WRITES])
def test_eve_is_refused_even_with_a_token(cast, twin, method, tenant_id):
    before = rows("acme"), rows("globex")
    response = call(cast.client(cast.eve, tenant_id), method, "products", twin)
    assert response.status_code == 403
    assert response.json() == {"detail": "You do not belong to this tenant.", "code": "tenant_forbidden"}
    assert (rows("acme"), rows("globex")) == before


def test_a_role_that_changes_counts_from_the_next_request_on(cast, ada, twin):
    membership = Membership.objects.get(user=cast.ada)
    for role, status in ((Role.VIEWER, 403), (Role.MEMBER, 200), (Role.ADMIN, 200), (Role.VIEWER, 403)):
        membership.role = role
        membership.save()
        assert call(ada, "patch", "products", twin).status_code == status
        assert call(ada, "get", "products", twin).status_code == 200


@pytest.mark.parametrize("role", Role.values)
def test_every_role_has_been_decided_on(role):
    assert (role in MayUseTenant.writers) == (role != Role.VIEWER)


@pytest.mark.parametrize("method", WRITES)
def test_nobody_writes_to_a_tenant_that_is_read_only(ada, twin, method):
    before = rows("acme")
    with changed_tenant("acme", status=Status.READ_ONLY):
        response = call(ada, method, "products", twin)
        assert response.status_code == 403
        assert response.json()["code"] == "tenant_read_only"
        assert call(ada, "get", "products", twin).status_code == 200
    assert rows("acme") == before


@pytest.mark.parametrize("method", ["list", "get", *WRITES])
def test_nobody_uses_a_tenant_that_is_suspended(ada, bob, twin, method):
    with changed_tenant("acme", status=Status.SUSPENDED):
        response = call(ada, method, "products", twin)
        assert response.status_code == 403
        assert response.json()["code"] == "tenant_suspended"
        assert call(bob, "get", "products", twin).status_code == 200
