"""The demo: made once, found the second time, never where DEBUG is off."""

from __future__ import annotations

import re
from collections import Counter
from io import StringIO
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from catalog.models import Category, Product
from project import demo
from tenancy.context import current_tenant, tenant_context
from tenancy.registry import get_registry
from tenancy.testing import databases
from users.models import Membership, User
from users.testing import ROLES

TENANTS = ("acme", "globex", "initech")
ALL = ("control", *TENANTS)


@pytest.fixture
def in_debug(settings):
    settings.DEBUG = True


def run(**options):
    out = StringIO()
    call_command("demo", stdout=out, **options)
    return out.getvalue().splitlines()


def everything():
    rows = {
        "people": list(User.objects.order_by("email").values()),
        "memberships": list(Membership.objects.order_by("id").values()),
    }
    for tenant_id in TENANTS:
        with tenant_context(tenant_id):
            rows[tenant_id] = (
                list(Category.objects.order_by("id").values()),
                list(Product.objects.order_by("id").values()),
            )
    return rows


@databases(*ALL, transaction=True)
def test_a_second_run_makes_nothing(in_debug):
    first = run()
    assert [re.sub(r"\d+", "N", line) for line in first] == [
        "control: migrated, N new people",
        *(f"{tenant_id}: migrated, N new products" for tenant_id in TENANTS),
    ]
    assert not any(" 0 " in line for line in first)
    before = everything()
    assert run() == [
        "control: migrated, 0 new people",
        *(f"{tenant_id}: migrated, 0 new products" for tenant_id in TENANTS),
    ]
    assert everything() == before
    assert current_tenant() is None


@databases(*ALL, transaction=True)
def test_it_repairs_what_is_missing_and_leaves_what_was_changed(in_debug):
    run()
    with tenant_context("acme"):
        Product.objects.get(sku="ACM-1001").delete()
        Product.objects.filter(sku="ACM-1002").update(name="Mine")
    assert "acme: migrated, 1 new products" in run()
    with tenant_context("acme"):
        assert Product.objects.get(sku="ACM-1002").name == "Mine"


@databases(*ALL, transaction=True)
def test_a_tenant_without_an_assortment_is_migrated_only(in_debug, monkeypatch):
    monkeypatch.delitem(demo.ASSORTMENTS, "initech")
    assert run()[-1] == "initech: migrated"
    with tenant_context("initech"):
        assert not Product.objects.exists()


@databases(*ALL)
def test_it_refuses_where_debug_is_off():
    with pytest.raises(CommandError, match="password is public"):
        run()
    assert not User.objects.exists()
    with tenant_context("acme"):
        assert not Product.objects.exists()


@databases("control")
def test_its_people_are_the_cast_of_the_contract():
    assert demo.create_people() == 4
    roles = {
        user.email.partition("@")[0]: {each.tenant_id: each.role for each in user.memberships.all()}
        for user in User.objects.all()
    }
    assert roles == ROLES
    assert demo.create_people() == 0
    for email in demo.PEOPLE:
        assert User.objects.get_by_natural_key(email).check_password("correct-horse-battery")


@databases("control", "acme")
def test_ada_signs_in_and_lists_products():
    demo.create_people()
    with tenant_context("acme"):
        made = demo.create_catalogue()
    client = APIClient()
    body = {"email": "ada@example.com", "password": demo.PASSWORD}
    token = client.post("/api/token/", body, format="json").json()["access"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert client.get("/api/products/").json()["count"] == made


@databases(*TENANTS)
@pytest.mark.parametrize("tenant_id", TENANTS)
def test_each_catalogue_keeps_the_rules_and_shows_variety(tenant_id):
    with tenant_context(tenant_id):
        made = demo.create_catalogue()
        products = list(Product.objects.select_related("category"))
        assert made == len(products) >= 300
        for product in products:
            product.clean_fields()
        assert len({product.sku for product in products}) == made
        assert {product.currency for product in products} == set(demo.ASSORTMENTS[tenant_id].currencies)
        assert len(Counter(product.stock > 0 for product in products)) == 2
        assert len(Counter(product.is_active for product in products)) == 2
        assert Category.objects.filter(parent__isnull=False).exists()
        assert any(not product.name.isascii() for product in products)


def test_no_two_catalogues_share_a_key():
    """So that an object of another tenant is one that is not there."""
    assert demo._key("acme", "X-1") != demo._key("globex", "X-1")
    assert set(demo.ASSORTMENTS) == {tenant.id for tenant in get_registry()}


@databases(*ALL, transaction=True)
def test_an_interrupted_run_is_finished_by_the_next(in_debug, monkeypatch):
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Membership.objects, "create", mock.Mock(side_effect=SystemExit))
        with pytest.raises(SystemExit):
            run()
    run()
    assert set(Membership.objects.values_list("user__email", "tenant_id", "role")) == {
        (f"{name}@example.com", tenant_id, role)
        for name, roles in ROLES.items()
        for tenant_id, role in roles.items()
    }
