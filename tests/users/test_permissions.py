"""Roles and the tenant's status: who may read, who may write, and which views are open."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases
from users.models import Membership, Role
from users.permissions import Anyone, IsOwner, IsPerson, MayManagePeople, MayUseTenant

pytestmark = databases("control", "acme", "globex")


def refusal(response):
    return response.status_code, response.json()["code"]


def write_calls(client, product):
    """Every way to write, each with what it answers when it is allowed."""
    path = f"/api/products/{product.pk}/"
    body = {
        "sku": "N-1",
        "name": "New",
        "category": str(product.category_id),
        "price": "1.00",
        "currency": "EUR",
    }
    return {
        "create": (lambda: client.post("/api/products/", body), 201),
        "replace": (lambda: client.put(path, body | {"sku": "A-1"}), 200),
        "change": (lambda: client.patch(path, {"stock": 9}), 200),
        "delete": (lambda: client.delete(path), 204),
        "create category": (lambda: client.post("/api/categories/", {"name": "New"}), 201),
    }


CALLS = ["create", "replace", "change", "delete", "create category"]


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("call", CALLS)
def test_all_but_viewers_write(cast, twin_products, role, call):
    Membership.objects.filter(user=cast.ada).update(role=role)
    client = cast.client(cast.ada, "acme")
    send, allowed = write_calls(client, twin_products()[0])[call]
    response = send()
    if role == Role.VIEWER:
        assert refusal(response) == (403, "forbidden")
    else:
        assert response.status_code == allowed


@pytest.mark.parametrize("role", Role.values)
def test_every_role_reads(cast, twin_products, role):
    product = twin_products()[0]
    Membership.objects.filter(user=cast.ada).update(role=role)
    client = cast.client(cast.ada, "acme")
    for path in ("/api/products/", f"/api/products/{product.pk}/", "/api/categories/"):
        assert client.get(path).status_code == 200
        assert client.head(path).status_code == 200


@pytest.mark.parametrize("call", CALLS)
def test_a_read_only_tenant_is_read_and_not_written(ada, twin_products, call):
    product = twin_products()[0]
    with changed_tenant("acme", status=Status.READ_ONLY):
        assert ada.get("/api/products/").status_code == 200
        assert refusal(write_calls(ada, product)[call][0]()) == (403, "tenant_read_only")
    assert ada.get(f"/api/products/{product.pk}/").json()["stock"] == 3


def test_a_viewer_of_a_read_only_tenant_hears_of_the_role(grace, twin_products):
    product = twin_products()[0]
    with changed_tenant("acme", status=Status.READ_ONLY):
        assert refusal(write_calls(grace, product)["change"][0]()) == (403, "forbidden")


@pytest.mark.parametrize("call", [*CALLS, "read"])
def test_a_suspended_tenant_is_closed_to_its_members(ada, bob, twin_products, call):
    product = twin_products()[0]
    with changed_tenant("acme", status=Status.SUSPENDED):
        send = {"read": (lambda: ada.get("/api/products/"), 200), **write_calls(ada, product)}[call][0]
        assert refusal(send()) == (403, "tenant_suspended")
        assert bob.get("/api/products/").status_code == 200, "Another tenant is not."
    assert ada.get("/api/products/").status_code == 200


def test_a_suspended_tenant_says_nothing_to_others(cast, ada):
    with changed_tenant("acme", status=Status.SUSPENDED):
        assert refusal(cast.client(cast.eve, "acme").get("/api/products/")) == (403, "tenant_forbidden")


@pytest.mark.parametrize("call", [*CALLS, "read"])
def test_nothing_works_without_a_token(twin_products, call):
    product, client = twin_products()[0], APIClient()
    send = {"read": (lambda: client.get("/api/products/"), 200), **write_calls(client, product)}[call][0]
    response = send()
    assert refusal(response) == (401, "not_authenticated")
    assert response["WWW-Authenticate"]


def test_a_session_of_the_admin_is_no_entry_to_the_api(cast):
    cast.ada.is_staff = cast.ada.is_superuser = True
    cast.ada.save()
    client = Client()
    client.force_login(cast.ada)
    for path in ("/api/products/", "/api/me/"):
        assert refusal(client.get(path, secure=True)) == (401, "not_authenticated")


def test_a_superuser_is_no_member(cast):
    cast.eve.is_staff = cast.eve.is_superuser = True
    cast.eve.save()
    response = cast.client(cast.eve, "acme").get("/api/products/")
    assert refusal(response) == (403, "tenant_forbidden")


def test_another_tenants_object_cannot_be_told_from_none(ada, bob, twin_products):
    """The twin exists in both; deleted from acme, its key is globex's alone."""
    product = twin_products()[0]
    assert ada.delete(f"/api/products/{product.pk}/").status_code == 204
    theirs, random = (ada.get(f"/api/products/{key}/") for key in (product.pk, uuid.uuid4()))
    assert refusal(theirs) == refusal(random) == (404, "not_found")
    assert theirs.content == random.content
    assert bob.get(f"/api/products/{product.pk}/").status_code == 200


def views(patterns, prefix=""):
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield (
                path,
                getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None),
            )


def api_views():
    return {
        path: set(view.permission_classes)
        for path, view in views(get_resolver().url_patterns)
        if hasattr(view, "permission_classes")
    }


def test_these_views_and_no_others_are_open_to_anyone():
    """A new one is added here on purpose, or not at all."""
    opened = {path for path, permissions in api_views().items() if permissions == {Anyone}}
    assert opened == {
        ".well-known/jwks.json",
        "api/invitations/accept/",
        "api/password/reset/",
        "api/password/reset/confirm/",
        "api/token/",
        "api/token/refresh/",
        "api/token/revoke/",
        "api/schema/",
        "api/docs/",
    }


def test_every_other_view_asks_who_it_is():
    asked = {path: permissions for path, permissions in api_views().items() if permissions != {Anyone}}
    assert {path for path, permissions in asked.items() if permissions == {IsPerson}} == {
        "api/token/switch/",
        "api/me/",
        "api/me/password/",
        "api/me/sessions/",
        "api/me/sessions/<uuid:id>/",
        "api/me/tenants/",
    }
    assert {path for path, permissions in asked.items() if permissions == {MayManagePeople}} == {
        "api/invitations/",
        "api/invitations/<uuid:id>/",
        "api/keys/",
        "api/keys/<uuid:id>/",
        "api/members/",
        "api/members/<uuid:id>/",
    }
    assert {path for path, permissions in asked.items() if permissions == {IsOwner}} == {"api/audit/"}
    by_role = ({IsPerson}, {MayManagePeople}, {IsOwner})
    rest = {path: permissions for path, permissions in asked.items() if permissions not in by_role}
    assert len(rest) >= 4
    assert all(permissions == {MayUseTenant} for permissions in rest.values()), rest
