"""A transaction on the database of the tenant in context."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connections, transaction

from catalog.models import Category
from tenancy.context import tenant_context
from tenancy.exceptions import NoTenant
from tenancy.testing import databases
from tenancy.transactions import tenant_atomic

pytestmark = databases("acme", "globex")


def names(tenant_id):
    with tenant_context(tenant_id):
        return list(Category.objects.values_list("name", flat=True))


def test_it_rolls_back_its_own_tenant_only():
    with tenant_context("globex"):
        Category.objects.create(name="before")
        category = Category.objects.create(name="twice")
    assert names("globex") == ["before", "twice"]
    with tenant_context("acme"):
        Category.objects.create(pk=category.pk, name="first")
        with pytest.raises(IntegrityError), tenant_atomic():
            Category.objects.bulk_create([Category(name="lost"), Category(pk=category.pk, name="second")])
    assert (names("acme"), names("globex")) == (["first"], ["before", "twice"])


def test_it_keeps_what_went_well():
    with tenant_context("acme"), tenant_atomic():
        Category.objects.create(name="kept")
    assert (names("acme"), names("globex")) == (["kept"], [])


def test_without_a_tenant_it_raises():
    with pytest.raises(NoTenant, match="A transaction needs a tenant"):
        tenant_atomic()


def test_it_passes_its_options_on():
    with tenant_context("acme"):
        # The test's own transaction does not count, so there is one more around it.
        with (
            transaction.atomic(using="acme"),
            pytest.raises(RuntimeError, match="durable"),
            tenant_atomic(durable=True),
        ):
            pass
        with tenant_atomic(savepoint=False):
            assert connections["acme"].savepoint_ids[-1] is None
