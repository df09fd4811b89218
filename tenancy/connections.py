"""``django.db.connections``, for any number of tenants.

The object stays Django's own, which is imported everywhere; its class is ours. Django looks at every
configured alias three times per request; here nothing that happens per request or per query looks at more
than what the running code has opened.

A connection belongs to one scope (a request, or a block of ``tenant_context``) and one thread. The scope's
frame holds it and gives it back at its end. Code outside any scope has, as in Django, a connection per thread
and alias that stays until somebody closes it.

Private API, read in Django 5.2.19 (``django/utils/connection.py``, ``django/db/utils.py``): the handler's
``_connections`` (asgiref's ``Local``), ``settings``, ``create_connection``, and that ``all()``, item access
and iteration are all that Django itself uses. A test fails when these change.
"""

from __future__ import annotations

import asyncio
import os
from _thread import get_ident
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import ConnectionHandler

from tenancy import memory
from tenancy.backends.pooled import Reading
from tenancy.backends.wrapper import TenancyWrapper
from tenancy.context import NOBODY, Frame, current_frame
from tenancy.exceptions import ReadingInTransaction
from tenancy.pool import pool
from tenancy.registry import registry_changed
from tenancy.tenant import Tenant
from tenancy.watchdog import watchdog


class TenancyConnections(ConnectionHandler):
    """The class of ``django.db.connections``."""

    def __getitem__(self, alias: str) -> Any:
        frame = current_frame()
        try:
            return frame.held[get_ident(), alias]
        except KeyError:
            return self._find(alias, frame)

    def __setitem__(self, alias: str, connection: Any) -> None:
        self._own()[alias] = connection

    def __delitem__(self, alias: str) -> None:
        del self._own()[alias]

    def all(self, initialized_only: bool = False) -> list[Any]:
        """What the running code has asked for; without ``initialized_only`` also the static aliases.

        Never every tenant: that would be a connection object for each, on every request.
        """
        if not initialized_only:
            for alias, _ in self.settings.items():  # noqa: PERF102  # keys() are all there are
                self[alias]
        return list(self.mine().values())

    def mine(self) -> dict[str, Any]:
        """What this thread has asked for, in its scope and outside of all scopes, by alias."""
        thread = get_ident()
        found: dict[str, Any] = dict(self._own())
        frame: Frame | None = current_frame()
        while frame is not None:
            for (owner, alias), connection in list(frame.held.items()):
                if owner == thread:
                    found[alias] = connection
            frame = frame.outer
        return found

    def of_thread(self, alias: str) -> Any:
        """The one of ``mine()`` for an alias, or None."""
        key = (get_ident(), alias)
        found = None
        frame: Frame | None = current_frame()
        while frame is not None:
            found = frame.held.get(key, found)
            frame = frame.outer
        return self._own().get(alias) if found is None else found

    def close_spare(self) -> bool:
        """Close one connection that this thread has outside of all scopes and does not use now: the oldest.

        A loop over every alias, ``.using(alias)``, then needs no more than the budget.
        """
        for connection in self._own().values():
            if isinstance(connection, TenancyWrapper) and connection.is_spare():
                connection.close()
                return True
        return False

    def forget(self) -> None:
        """Start anew, as in a process that was forked: what its one thread has open is the parent's."""
        frame: Frame | None = current_frame()
        while frame is not None:
            frame.held = {}
            frame = frame.outer
        self._own().clear()

    def _find(self, alias: str, frame: Frame) -> Any:
        key = (get_ident(), alias)
        # What an outer block, or the thread itself (a test's transaction), has open is used on: a second
        # connection would not see what the first has not committed, and could wait for its locks for ever.
        outer = frame.outer
        while outer is not None:
            connection = outer.held.get(key)
            if connection is not None and (connection.in_atomic_block or connection.is_right()):
                return connection
            outer = outer.outer
        own = self._own()
        if (connection := own.get(alias)) is not None:
            is_ours = isinstance(connection, TenancyWrapper)
            if connection.in_atomic_block or not is_ours or connection.maintenance or connection.is_current():
                return connection
            connection.close()
            del own[alias]
        if frame is NOBODY or frame.has_ended():
            own[alias] = connection = self.create_connection(alias)
            return connection
        connection = self._acquire(alias)
        if not isinstance(connection, TenancyWrapper):  # it cannot be given back
            own[alias] = connection
            return connection
        frame.held[key] = connection
        if frame.has_ended() and frame.held.pop(key, None) is not None:  # meanwhile, in another thread
            connection.give_back()
            return self._find(alias, frame)
        return connection

    def _acquire(self, alias: str) -> Any:
        # In an event loop a connection is asked for what it is, and never opened.
        if asyncio._get_running_loop() is None:
            parked: Any = pool.take(alias)
            if parked is not None:
                parked.welcome()
                return parked
        return self.create_connection(alias)

    def create_connection(self, alias: str) -> Any:
        if alias not in self.settings:
            raise self.exception_class(f"The connection '{alias}' doesn't exist.")
        return super().create_connection(alias)

    def _own(self) -> dict[str, Any]:
        """This thread's connections outside of all scopes (in an event loop: the task's)."""
        storage: Any = self._connections  # type: ignore[attr-defined]
        try:
            own: dict[str, Any] = storage.own
        except AttributeError:
            own = storage.own = _Own()
        return own


class _Own(dict[str, Any]):
    """A thread's connections outside of all scopes. When the thread is over, they are closed.

    A connection refers to itself in places; by itself it would be found by the garbage collector only, and
    keep its room in the pool until then.
    """

    def __del__(self) -> None:
        for connection in self.values():
            # One that is shared (a live server's, in tests) is its owner's to close.
            if isinstance(connection, TenancyWrapper) and connection._thread_ident == get_ident():
                pool.later(connection.discard)


def install() -> None:
    """Make ``django.db.connections`` ours. Done once, when the app is ready; connections that were asked for
    before are forgotten."""
    connections.__class__ = TenancyConnections
    default = connections.settings[DEFAULT_DB_ALIAS]
    if not default["NAME"]:
        default["ENGINE"] = "tenancy.backends.nowhere"  # Django's own words for it help nobody
    pool.close_spare = _connections().close_spare
    pool.wake = watchdog.wake
    os.register_at_fork(after_in_child=_connections().forget)
    registry_changed.connect(_drop_outdated)


def _drop_outdated(removed: frozenset[str], changed: frozenset[str], **kwargs: Any) -> None:
    """Close what is idle of tenants whose entry in tenants.yaml is gone or is another now. What is in use is
    closed when it is given back."""
    pool.discard_idle(removed | changed)


def _connections() -> TenancyConnections:
    return cast(TenancyConnections, connections)


def release(alias: str) -> None:
    """Give back this scope's connection to ``alias`` before the scope ends, where nothing is left over on it.

    For the control plane's when a request has been authenticated: others need it while this one works for its
    tenant. Asked for again, there is one again.
    """
    frame, key = current_frame(), (get_ident(), alias)
    connection = frame.held.get(key)
    if connection is not None and connection.is_spare():
        del frame.held[key]
        connection.give_back()


def close(alias: str) -> None:
    """Close the running code's connection to ``alias``, unless an outer transaction (a test) still owns
    it."""
    connection = _connections().of_thread(alias)
    if connection is not None:
        _close(connection)


def _close(connection: Any) -> None:
    if connection.connection is not None and not connection.in_atomic_block:
        connection.close()


@contextmanager
def closed_after(alias: str) -> Iterator[None]:
    """Close what the block opens to ``alias``, instead of keeping it: of a thousand tenants that are visited
    once, none is asked for again. What was open before, an outer scope's, stays."""
    before = _connections().of_thread(alias)
    was_open = before is not None and before.connection is not None
    try:
        yield
    finally:
        if not was_open:
            close(alias)


@contextmanager
def maintenance(alias: str, *, makes_file: bool = True, patience: float = 30.0) -> Iterator[Any]:
    """A connection that may make its SQLite file and whose statements have no time limit; also to a tenant
    that may only be read. A lock is waited for ``patience`` seconds.

    For migrations and provisioning. It is opened new and closed after, so that its settings reach
    nobody else.
    """
    connection = connections[alias]
    wrapper = cast(TenancyWrapper, connection)
    _close(connection)
    before = wrapper.maintenance, wrapper.makes_file, wrapper.patience
    wrapper.maintenance, wrapper.makes_file, wrapper.patience = True, makes_file, patience
    try:
        yield connection
    finally:
        wrapper.maintenance, wrapper.makes_file, wrapper.patience = before
        _close(connection)


@contextmanager
def reading(
    tenant: Tenant, *, limit: float, from_replica: bool = True, snapshot: bool = False
) -> Iterator[Any]:
    """A connection for a report of the tenant in context: its session cannot write.

    With ``snapshot`` the block is one transaction, in which everything is as it was at its first statement.
    A statement may take ``limit`` seconds. It goes to the replica that the tenant's entry names; there is no
    other way then, for the replica is there to spare the database. It is opened new and closed after, so that
    its settings reach nobody else, and cursors that the scope has open are dead. It goes past a pooler, which
    would keep them. Raises ``WrongTenant`` or ``NoTenant`` outside the tenant's context, and, where the
    scope's connection is in a transaction or in maintenance, ``ReadingInTransaction``. (A test's transaction
    around it all is used, and can write.)
    """
    memory.require_context("A connection for reading", tenant.id)
    connection = connections[tenant.id]
    wrapper = cast(TenancyWrapper, connection)
    blocks: list[Any] = wrapper.atomic_blocks
    if wrapper.maintenance or any(not block._from_testcase for block in blocks):
        raise ReadingInTransaction(tenant.id)
    close(tenant.id)
    before = wrapper.reading
    wrapper.reading = Reading(limit, tenant.replica if from_replica else None, snapshot)
    is_ours = snapshot and not wrapper.in_atomic_block
    try:
        if is_ours:
            wrapper.enter_snapshot()
        yield connection
    finally:
        if is_ours:
            wrapper.leave_snapshot()
        wrapper.reading = before
        close(tenant.id)


@contextmanager
def elsewhere(alias: str, **changes: Any) -> Iterator[None]:
    """Let this thread's ``alias`` lead to another database, which is not the tenant's own. ``changes`` are
    those to the settings of its own."""
    ours = connections[alias]
    close(alias)
    there = cast(TenancyWrapper, type(ours)({**ours.settings_dict, **changes}, alias))
    there.maintenance = there.is_elsewhere = True
    frame = current_frame()
    places: dict[Any, Any] = _connections()._own()
    key: Any = alias
    if frame is not NOBODY and not frame.has_ended():
        places, key = frame.held, (get_ident(), alias)
    before = places.get(key)
    places[key] = there
    try:
        yield
    finally:
        there.close()
        del places[key]
        if before is not None:
            places[key] = before
