"""Many tenants, one after the other: each entered, left and closed."""

from __future__ import annotations

import re

import pytest
from django.db import connections
from django.test import override_settings

from catalog.models import Category
from tenancy.context import current_tenant, tenant_context
from tenancy.exceptions import Problem, RegistryUnavailable, TenantsFileError
from tenancy.fleet import Outcome, Result, each_tenant, run_each, suspended_tenants
from tenancy.registry import Registry
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, only_tenants, repointed
from users.models import User

ALL = ["acme", "globex", "initech"]

pytestmark = databases(*ALL, transaction=True)


@pytest.fixture
def one_category_each():
    for connection in connections.all(initialized_only=True):
        connection.close()
    for tenant_id in ALL:
        with tenant_context(tenant_id):
            Category.objects.create(name=f"canary-{tenant_id}")
        connections[tenant_id].close()


@pytest.fixture(autouse=True)
def all_closed():
    connections.close_all()
    yield
    connections.close_all()


def open_aliases():
    return {
        connection.alias
        for connection in connections.all(initialized_only=True)
        if connection.connection is not None
    }


def test_each_tenant_is_entered_left_and_closed(one_category_each):
    seen = []
    for tenant in each_tenant():
        assert current_tenant() is tenant
        seen.append((tenant.id, Category.objects.get().name))
        assert open_aliases() == {tenant.id}
    assert seen == [(tenant_id, f"canary-{tenant_id}") for tenant_id in ALL]
    assert current_tenant() is None
    assert open_aliases() == set()


@databases("control", *ALL, transaction=True)
def test_it_holds_the_control_plane_and_one_tenant_at_most(one_category_each):
    most = 0
    for _ in each_tenant():
        assert User.objects.count() == 0
        assert Category.objects.count() == 1
        most = max(most, len(open_aliases()))
    assert most == 2
    assert open_aliases() == {"control"}


def test_a_tenant_whose_data_is_not_asked_for_is_not_opened():
    assert [tenant.id for tenant in each_tenant()] == ALL
    assert open_aliases() == set()


def test_a_break_leaves_and_closes(one_category_each):
    for tenant in each_tenant():
        assert Category.objects.count() == 1
        if tenant.id == "globex":
            break
    assert current_tenant() is None
    assert open_aliases() == set()


def test_an_exception_leaves_and_closes(one_category_each):
    def fail_in_the_first():
        for _ in each_tenant():
            assert Category.objects.count() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_first()
    assert current_tenant() is None
    assert open_aliases() == set()


def test_a_return_leaves_and_closes(one_category_each):
    def find(name):
        for tenant in each_tenant():
            if Category.objects.filter(name=name).exists():
                return tenant.id
        return None

    assert find("canary-globex") == "globex"
    assert current_tenant() is None
    assert open_aliases() == set()
    assert find("nobody's") is None


def test_a_loop_inside_a_context_returns_to_it():
    with tenant_context("globex"):
        for _ in each_tenant():
            pass
        assert current_tenant().id == "globex"


def test_suspended_tenants_are_left_out_and_named():
    with changed_tenant("globex", status=Status.SUSPENDED):
        assert [tenant.id for tenant in each_tenant()] == ["acme", "initech"]
        assert [tenant.id for tenant in each_tenant(include_suspended=True)] == ALL
        assert [tenant.id for tenant in suspended_tenants()] == ["globex"]
    assert suspended_tenants() == []


def test_read_only_tenants_are_visited():
    with changed_tenant("globex", status=Status.READ_ONLY):
        assert [tenant.id for tenant in each_tenant()] == ALL


def test_without_a_valid_file_it_raises():
    error = TenantsFileError("tenants.yaml", [Problem(3, "tenants.acme", "no url")])
    with override_settings(TENANCY_REGISTRY=Registry({}, error=error)):
        with pytest.raises(RegistryUnavailable, match=re.escape("tenants.yaml:3: tenants.acme: no url")):
            list(each_tenant())
        with pytest.raises(RegistryUnavailable):
            run_each(lambda _: None)


def test_no_tenants_is_no_turn():
    with only_tenants():
        assert list(each_tenant()) == []
        assert run_each(lambda tenant: tenant.id) == []


def test_run_each_keeps_what_each_tenant_gave(one_category_each):
    outcomes = run_each(lambda _: (current_tenant(), Category.objects.get().name))
    assert [(outcome.tenant.id, outcome.result, outcome.value) for outcome in outcomes] == [
        (outcome.tenant.id, Result.OK, (outcome.tenant, f"canary-{tenant_id}"))
        for tenant_id, outcome in zip(ALL, outcomes, strict=True)
    ]
    assert all(outcome.seconds > 0 and outcome.error == "" for outcome in outcomes)
    assert open_aliases() == set()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("first line\nsecond line"), "ValueError: first line"),
        (KeyError(), "KeyError"),
        (RuntimeError("  \n"), "RuntimeError"),
    ],
    ids=["several lines", "no text", "blank"],
)
def test_run_each_records_a_failure_and_goes_on(error, text):
    def work(tenant):
        if tenant.id == "globex":
            raise error
        return tenant.id

    outcomes = run_each(work)
    assert [(outcome.tenant.id, outcome.result) for outcome in outcomes] == [
        ("acme", Result.OK),
        ("globex", Result.FAILED),
        ("initech", Result.OK),
    ]
    assert (outcomes[1].value, outcomes[1].error) == (None, text)
    assert outcomes[1].seconds > 0
    assert current_tenant() is None
    assert open_aliases() == set()


def test_run_each_says_that_a_database_is_missing_and_not_where():
    with repointed("globex", NAME="/dev/null/no_such_database"):
        outcomes = run_each(lambda _: Category.objects.count())
    assert [outcome.result for outcome in outcomes] == [Result.OK, Result.FAILED, Result.OK]
    assert outcomes[1].error.startswith("DatabaseUnavailable: The database of 'globex' is unavailable: it")
    assert "/dev/null" not in outcomes[1].error


def test_run_each_lists_suspended_tenants_as_skipped():
    with changed_tenant("globex", status=Status.SUSPENDED) as globex:
        outcomes = run_each(lambda tenant: tenant.id)
    assert [outcome.tenant.id for outcome in outcomes] == ["acme", "initech", "globex"]
    assert outcomes[-1] == Outcome(globex, Result.SKIPPED, error="suspended")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=["Ctrl-C", "exit"])
def test_run_each_stops_when_it_is_told_to(error):
    def work(tenant):
        assert Category.objects.count() == 0
        raise error

    with pytest.raises(error):
        run_each(work)
    assert current_tenant() is None
    assert open_aliases() == set()
