"""Which tenant the running code works for, and that it is nobody's afterwards."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async

from tenancy.context import (
    current_tenant,
    enter_request,
    in_request,
    request_scope,
    require_tenant,
    tenant_context,
)
from tenancy.exceptions import NoRequestScope, NoTenant, TenantLocked, TenantNotFound
from tenancy.registry import get_registry


def current_id():
    tenant = current_tenant()
    return tenant and tenant.id


def tenant(tenant_id):
    return get_registry().get(tenant_id)


def in_thread(function):
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function).result()


def test_it_has_no_tenant_at_first():
    assert current_tenant() is None
    assert not in_request()
    with pytest.raises(NoTenant, match="'Product' needs a tenant"):
        require_tenant("'Product'")


@pytest.mark.parametrize("named", ["acme", None], ids=["by id", "by object"])
def test_a_block_enters_and_leaves(named):
    with tenant_context(named or tenant("acme")) as entered:
        assert entered is current_tenant() is require_tenant()
        assert current_id() == "acme"
        assert not in_request()
    assert current_tenant() is None


def test_a_block_is_left_by_an_exception():
    with pytest.raises(KeyError), tenant_context("acme"):
        raise KeyError
    assert current_tenant() is None


def test_an_unknown_tenant_is_not_entered():
    with pytest.raises(TenantNotFound, match="did you mean 'acme'"), tenant_context("acmee"):
        pass
    assert current_tenant() is None


def test_nested_blocks_return_to_the_one_before():
    with tenant_context("acme"):
        with tenant_context("globex"):
            assert current_id() == "globex"
        assert current_id() == "acme"
        with pytest.raises(KeyError), tenant_context("globex"):
            raise KeyError
        assert current_id() == "acme"
        with tenant_context("acme"):
            assert current_id() == "acme"
        assert current_id() == "acme"
    assert current_tenant() is None


def test_a_new_thread_has_no_tenant():
    with tenant_context("acme"):
        assert in_thread(current_id) is None
        seen = []
        thread = threading.Thread(target=lambda: seen.append(current_id()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_thread_keeps_its_own_tenant():
    """Two threads in two tenants at the same moment: neither sees the other's."""
    both_inside = threading.Barrier(2, timeout=10)

    def work(tenant_id):
        with tenant_context(tenant_id):
            both_inside.wait()
            seen = current_id()
            both_inside.wait()
        return seen, current_id()

    with ThreadPoolExecutor(max_workers=2) as pool:
        assert list(pool.map(work, ["acme", "globex"])) == [("acme", None), ("globex", None)]


def test_sync_to_async_and_to_thread_carry_the_tenant():
    async def work():
        with tenant_context("acme"):
            return await sync_to_async(current_id)(), await asyncio.to_thread(current_id)

    assert asyncio.run(work()) == ("acme", "acme")


def test_a_task_carries_the_tenant_it_was_made_under():
    async def later():
        await asyncio.sleep(0)
        return current_id()

    async def work():
        with tenant_context("acme"):
            task = asyncio.create_task(later())
        with tenant_context("globex"):
            return await task, current_id()

    assert asyncio.run(work()) == ("acme", "globex")


def test_tasks_side_by_side_keep_their_own_tenants():
    async def one(tenant_id):
        with tenant_context(tenant_id):
            await asyncio.sleep(0)
            seen = current_id()
        return seen, current_id()

    async def work():
        return await asyncio.gather(*(one(tenant_id) for tenant_id in ["acme", "globex", "acme"]))

    assert asyncio.run(work()) == [("acme", None), ("globex", None), ("acme", None)]


def test_a_generator_closed_in_another_context_leaves_nothing():
    def generator():
        with tenant_context("acme"):
            yield

    suspended = generator()
    with tenant_context("initech"):
        contextvars.copy_context().run(next, suspended)
    with tenant_context("globex"):
        context = contextvars.copy_context()
        context.run(suspended.close)
        assert context.run(current_tenant) is None
        assert current_id() == "globex"
    assert current_tenant() is None


def test_an_async_generator_closed_by_another_task_leaves_nothing():
    async def generator():
        with tenant_context("acme"):
            yield

    async def close(suspended):
        await suspended.aclose()
        return current_id()

    async def work():
        suspended = generator()
        with tenant_context("initech"):
            await asyncio.create_task(anext(suspended, None))
        with tenant_context("globex"):
            return await asyncio.create_task(close(suspended))

    assert asyncio.run(work()) is None


def test_a_request_is_entered_once_and_left_empty():
    with request_scope():
        assert in_request()
        assert current_tenant() is None
        enter_request(tenant("acme"))
        assert current_id() == "acme"
        enter_request(tenant("acme"))
        assert current_id() == "acme"
    assert current_tenant() is None
    assert not in_request()


def test_a_request_is_left_empty_by_an_exception():
    def serve():
        with request_scope():
            enter_request(tenant("acme"))
            raise KeyError

    with pytest.raises(KeyError):
        serve()
    assert current_tenant() is None
    assert not in_request()


def test_a_request_cannot_be_entered_for_another_tenant():
    with request_scope():
        enter_request(tenant("acme"))
        with pytest.raises(TenantLocked, match=r"bound to one tenant \('acme'\), so 'globex'") as raised:
            enter_request(tenant("globex"))
        assert (raised.value.wanted, raised.value.current) == ("globex", "acme")
        assert current_id() == "acme"


def test_a_block_in_a_request_may_name_its_own_tenant_only():
    with request_scope():
        enter_request(tenant("acme"))
        with tenant_context("acme"):
            assert in_request()
            enter_request(tenant("acme"))
            with pytest.raises(TenantLocked), tenant_context("globex"):
                pass
            assert current_id() == "acme"
        assert current_id() == "acme"
        assert in_request()


def test_a_block_in_a_request_that_has_no_tenant_is_refused():
    with request_scope(), pytest.raises(TenantLocked, match="'none'"), tenant_context("acme"):
        pass


def test_a_request_cannot_be_entered_without_a_scope():
    with pytest.raises(NoRequestScope, match="TenantScopeMiddleware"):
        enter_request(tenant("acme"))
    with tenant_context("acme"), pytest.raises(NoRequestScope):
        enter_request(tenant("acme"))


def test_a_request_neither_inherits_nor_restores_a_tenant_around_it():
    with tenant_context("acme"):
        with request_scope():
            assert current_tenant() is None
        assert current_tenant() is None
    # The block puts back what was before it only where it finds its own.
    assert current_tenant() is None


@pytest.mark.parametrize("in_block", [False, True], ids=["in the request", "in a block of the request"])
def test_a_task_that_outlives_its_request_loses_the_tenant(in_block):
    async def later(ended):
        before = current_id()
        await ended.wait()
        return before, current_id()

    async def work():
        ended = asyncio.Event()
        with request_scope():
            enter_request(tenant("acme"))
            if in_block:
                with tenant_context("acme"):
                    task = asyncio.create_task(later(ended))
            else:
                task = asyncio.create_task(later(ended))
            await asyncio.sleep(0)
        ended.set()
        return await task

    assert asyncio.run(work()) == ("acme", None)


def test_a_worker_thread_fills_the_scope_of_its_request():
    """Under ASGI, DRF authenticates in a thread while the scope was opened in the event loop."""

    async def work():
        with request_scope():
            await sync_to_async(enter_request)(tenant("acme"))
            inside = current_id()
        return inside, current_id()

    assert asyncio.run(work()) == ("acme", None)
