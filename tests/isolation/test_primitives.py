"""The matrix: every primitive, for the right tenant, another and none; sync, in a thread, async.

Used in the right tenant's context a primitive works; in any other it raises. Whatever it does, no other
database has changed: every table of every database is compared. Both tenants have the same keys, so that a
leak is wrong data rather than "not found".
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from tenancy.context import current_tenant, request_scope, tenant_context
from tenancy.exceptions import NoTenant, TenancyError, WrongTenant
from tenancy.testing import databases
from tests.isolation.primitives import ASYNC_PRIMITIVES, PRIMITIVES, Kind
from tests.isolation.worlds import TENANTS, Dump, restore

pytestmark = databases("control", "acme", "globex", transaction=True)

CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "right": lambda: tenant_context("acme"),
    "other": lambda: tenant_context("globex"),
    "none, in a request": request_scope,
    "none": nullcontext,
}

#: Django's own words when the router does not allow it to relate objects of two databases.
OF_DJANGO = ("the current database router prevents this relation", "instance is on database")


class Failed(AssertionError):
    """A cell of the matrix that is not as it must be."""


def used(use: Callable[[Any], Any], thing: Any) -> Any:
    """What came of it, an exception too: without its frames, which hold cursors past their connection."""
    try:
        return use(thing)
    except (TenancyError, ValueError) as exc:
        return _bare(exc)


def _bare(exc: Exception) -> Exception:
    exc.__context__ = exc.__cause__ = None
    return exc.with_traceback(None)


def put_away(thing: Any) -> None:
    """Close an iterator or a cursor in the context and the thread that it belongs to."""
    if isinstance(thing, FunctionType):
        thing = getattr(thing, "cursor", thing)  # of a method that was taken from one
    if hasattr(thing, "close"):
        with tenant_context("acme"):
            thing.close()


class Sync:
    """All in this thread."""

    def run(self, primitive: Any, context: Callable[[], AbstractContextManager[Any]]) -> Any:
        with tenant_context("acme"):
            thing = primitive.prepare()
        with context():
            result = used(primitive.use, thing)
        put_away(thing)
        return result


class Thread:
    """Prepared here and used in another thread; what has a connection of its own, all in that one."""

    def run(self, primitive: Any, context: Callable[[], AbstractContextManager[Any]]) -> Any:
        if primitive.bound_to_thread:
            return self.in_thread(lambda: Sync().run(primitive, context))
        with tenant_context("acme"):
            thing = primitive.prepare()

        def use() -> Any:
            with context():
                return used(primitive.use, thing)

        return self.in_thread(use)

    def in_thread(self, work: Callable[[], Any]) -> Any:
        def work_and_close() -> None:
            try:
                # Outside of all blocks, so that they stay with the thread: what is kept over a block's end
                # whose connection was the block's is dead whoever comes next
                # (tests/tenancy/test_connections.py).
                for alias in ("acme", "globex"):
                    connections[alias].ensure_connection()
                results.append(work())
            finally:
                connections.close_all()

        results: list[Any] = []
        thread = threading.Thread(target=work_and_close)
        thread.start()
        thread.join()
        return results[0]


class Async:
    """In a coroutine, which runs what is blocking in asgiref's thread."""

    def run(self, primitive: Any, context: Callable[[], AbstractContextManager[Any]]) -> Any:
        async def work() -> Any:
            try:
                with tenant_context("acme"):
                    thing = await sync_to_async(primitive.prepare)()
                with context():
                    result = await self.use(primitive, thing)
                await sync_to_async(put_away)(thing)
                return result
            finally:
                await sync_to_async(connections.close_all)()

        return asyncio.run(work())

    async def use(self, primitive: Any, thing: Any) -> Any:
        return await sync_to_async(used)(primitive.use, thing)


class AsyncNative(Async):
    """With Django's asynchronous interface."""

    async def use(self, primitive: Any, thing: Any) -> Any:
        try:
            return await primitive.use(thing)
        except (TenancyError, ValueError) as exc:
            return _bare(exc)


def refill() -> None:
    for tenant_id in TENANTS:
        restore(tenant_id)


def dumps() -> dict[str, Dump]:
    return {alias: Dump.of(alias) for alias in ("control", *TENANTS)}


def check_cell(mode: Any, primitive: Any, where: str, before: dict[str, Dump]) -> dict[str, Dump]:
    """Run one cell, and return what the databases are then. Raises ``Failed`` with what is wrong about it."""
    result = mode.run(primitive, CONTEXTS[where])
    if current_tenant() is not None:
        raise Failed(f"{where}: a tenant is left in context")
    after = dumps()
    changed = {alias for alias in before if before[alias] != after[alias]}
    if where == "right" or (where == "none" and getattr(primitive, "names_its_database", False)):
        _must_work(primitive, where, result, changed)
    else:
        if not _is_refusal(result):
            raise Failed(f"{where}: it was not refused; {result!r}")
        if changed:
            raise Failed(f"{where}: it raised, and changed {changed}")
    return after


def _is_refusal(result: Any) -> bool:
    return isinstance(result, NoTenant | WrongTenant) or (
        isinstance(result, ValueError) and any(words in str(result) for words in OF_DJANGO)
    )


def _must_work(primitive: Any, where: str, result: Any, changed: set[str]) -> None:
    if isinstance(result, Exception):
        raise Failed(f"{where}: it raised {result!r}")
    if changed != ({"acme"} if primitive.kind is Kind.WRITE else set()):
        raise Failed(f"{where}: it changed {changed or 'nothing'}")
    if primitive.kind is Kind.READ and ("acme" not in result or "globex" in result):
        raise Failed(f"{where}: it returned {result!r}")
    if primitive.kind is Kind.COUNT and not result:
        raise Failed(f"{where}: it returned {result!r}")


def check_row(mode: Any, primitive: Any) -> None:
    """All contexts of one primitive. Says of each that fails what is wrong."""
    faults = []
    before: dict[str, Dump] = {}
    after: dict[str, Dump] | None = None
    for where in CONTEXTS:
        if after != before:  # at first, after a write and after a fault
            refill()
            before = dumps()
        try:
            after = check_cell(mode, primitive, where, before)
        except Failed as exc:
            faults.append(str(exc))
            after = None
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("mode", [Sync, Thread, Async], ids=["sync", "thread", "async"])
@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda primitive: primitive.name)
def test_it_works_for_its_own_tenant_only(primitive, mode):
    check_row(mode(), primitive)


@pytest.mark.parametrize("primitive", ASYNC_PRIMITIVES, ids=lambda primitive: primitive.name)
def test_awaited_it_works_for_its_own_tenant_only(primitive):
    check_row(AsyncNative(), primitive)


def test_the_matrix_is_large_enough():
    names = [primitive.name for primitive in (*PRIMITIVES, *ASYNC_PRIMITIVES)]
    assert len(names) == len(set(names))
    assert len(PRIMITIVES) >= 40
