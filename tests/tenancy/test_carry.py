"""Work in another thread, for the tenant that handed it over."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from tenancy.context import carry, current_tenant, enter_request, in_request, request_scope, tenant_context
from tenancy.exceptions import NoTenant
from tenancy.pool import pool
from tenancy.registry import get_registry
from tenancy.testing import databases
from tests.isolation.worlds import fill
from tests.workshop.models import Tool


def current_id():
    tenant = current_tenant()
    return tenant and tenant.id


def in_pool(function):
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function).result()


def names():
    return {tool.name for tool in Tool.objects.all()}


@databases("acme", "globex", transaction=True)
def test_a_thread_works_for_who_handed_it_the_work():
    fill("acme")
    fill("globex")
    for tenant_id in ("acme", "globex"):
        with tenant_context(tenant_id):
            assert in_pool(carry(names)) == {f"{tool} of {tenant_id}" for tool in ("saw", "axe", "drill")}


@databases("acme", transaction=True)
def test_without_it_a_thread_has_no_tenant():
    """The negative control."""
    with tenant_context("acme"), pytest.raises(NoTenant):
        in_pool(names)


@databases("control", "acme", transaction=True)
def test_the_connections_it_opened_are_given_back():
    def opened():
        names()
        connections["control"].ensure_connection()

    with tenant_context("acme"):
        in_pool(carry(opened))
        assert [pool.idle_connections(alias) for alias in ("acme", "control")] == [1, 1]


@databases("acme", transaction=True)
def test_called_in_its_own_thread_it_uses_what_is_open_there():
    def opened():
        connections["acme"].ensure_connection()
        return connections["acme"]

    with tenant_context("acme"):
        connections["acme"].ensure_connection()
        assert carry(opened)() is connections["acme"]
        assert connections["acme"].connection is not None


def test_made_without_a_tenant_it_runs_without_one():
    carried = carry(current_id)
    assert in_pool(carry(current_id)) is None
    with tenant_context("acme"):
        assert carried() is None
        assert current_id() == "acme"


def test_carried_it_returns_to_the_tenant_of_its_caller():
    with tenant_context("acme"):
        carried = carry(current_id)
    with tenant_context("globex"):
        assert carried() == "acme"
        assert current_id() == "globex"
    assert current_tenant() is None


def test_carried_it_is_left_by_an_exception():
    def fail():
        raise KeyError

    with tenant_context("acme"):
        carried = carry(fail)
    with tenant_context("globex"):
        with pytest.raises(KeyError):
            carried()
        assert current_id() == "globex"


def test_a_coroutine_function_is_carried_too():
    async def later():
        await asyncio.sleep(0)
        return current_id()

    with tenant_context("acme"):
        carried = carry(later)
    with tenant_context("globex"):
        assert asyncio.run(carried()) == "acme"
        assert current_id() == "globex"


def test_work_that_outlives_its_request_finds_no_tenant():
    with request_scope():
        enter_request(get_registry().get("acme"))
        carried = carry(lambda: (current_id(), in_request()))
        assert in_pool(carried) == ("acme", True)
    assert in_pool(carried) == (None, True)
