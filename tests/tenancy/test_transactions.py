"""A transaction on the database of the tenant in context."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connections, transaction

from catalog.models import Category
from tenancy.context import current_tenant, tenant_context
from tenancy.exceptions import NoTenant
from tenancy.testing import databases
from tenancy.transactions import (
    control_on_commit,
    tenant_atomic,
    tenant_on_commit,
    tenant_set_rollback,
)

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


# Callbacks.


def current_id():
    tenant = current_tenant()
    return tenant and tenant.id


@databases("control", "acme", "globex", transaction=True)
@pytest.mark.parametrize("around", ["globex", None], ids=["another's context", "no context"])
def test_a_callback_runs_for_who_made_it_whoever_commits(around):
    seen = []
    with transaction.atomic(using="control"):
        with tenant_context("acme"):
            control_on_commit(lambda: seen.append((current_id(), Category.objects.count())))
            Category.objects.create(name="of acme")
        if around:
            inside = tenant_context(around)
            inside.__enter__()
        assert seen == []
    assert seen == [("acme", 1)]
    assert current_id() == around
    if around:
        inside.__exit__(None, None, None)


@databases("acme", "globex", transaction=True)
def test_a_callback_runs_after_the_commit_of_its_tenant_only():
    seen = []
    with tenant_context("acme"):
        with tenant_atomic():
            tenant_on_commit(lambda: seen.append(current_id()))
            with tenant_context("globex"), tenant_atomic():
                pass
            assert seen == []
        assert seen == ["acme"]
        with tenant_atomic():
            tenant_on_commit(lambda: seen.append("rolled back"))
            tenant_set_rollback()
        tenant_on_commit(lambda: seen.append("at once"))
    assert seen == ["acme", "at once"]
    with pytest.raises(NoTenant, match="A callback"):
        tenant_on_commit(lambda: None)


@databases("acme", transaction=True)
def test_what_cannot_be_called_back_is_refused_when_it_is_given():
    with tenant_context("acme"), pytest.raises(TypeError, match="must be a callable"):
        tenant_on_commit("not a function")


@databases("acme", transaction=True)
def test_a_robust_callback_does_not_fail_the_commit():
    def fail():
        raise KeyError

    with tenant_context("acme"), tenant_atomic():
        tenant_on_commit(fail, robust=True)
        Category.objects.create(name="kept")
    assert names("acme") == ["kept"]


def test_a_marked_transaction_is_rolled_back():
    with tenant_context("acme"):
        with tenant_atomic():
            Category.objects.create(name="lost")
            tenant_set_rollback()
        assert not Category.objects.exists()
    with pytest.raises(NoTenant):
        tenant_set_rollback()
