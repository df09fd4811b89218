"""A connection that belongs to the pool, to one scope for as long as that lasts, and to one thread.

When the scope (``tenancy.context``) ends it is kept for others, if nothing of what was done on it is left
over, and closed otherwise.

Private API, read in Django 5.2.19 (``django/db/backends/base/base.py``): ``connect`` opens the physical
connection and ``_close`` closes it; ``_thread_ident`` is the thread that may use the wrapper; what
``connect`` resets, ``welcome`` does."""

from __future__ import annotations

import os
import time
from _thread import get_ident
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from django.db import connections
from django.db.backends.base.base import NO_DB_ALIAS

from tenancy.backends.faults import Fault, classify
from tenancy.context import current_tenant
from tenancy.exceptions import DatabaseBusy, DatabaseUnavailable, ScopeEnded, TransactionLeftOpen
from tenancy.pool import Slot, pool
from tenancy.servers import Server, server_of
from tenancy.tenant import Status

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Base
else:
    Base = object


@dataclass(frozen=True)
class Reading:
    """How a report reads; see ``tenancy.connections.reading``."""

    #: Seconds that one statement may take.
    limit: float
    #: Django's settings of the copy to read from; None is the tenant's own database.
    replica: dict[str, Any] | None = None
    #: One transaction, which begins with the handshake and ends with the connection: each of the two would
    #: cost a trip of its own to the server.
    is_snapshot: bool = False


class PooledWrapper(Base):
    """The half of ``TenancyWrapper`` that opens, lends and closes."""

    Database: Any  # the driver's module, as Django names it

    #: In maintenance (migrations, provisioning) a database may be made and a statement may take its
    #: time. Set by ``tenancy.connections.maintenance`` only.
    maintenance = False
    #: And then, whether a missing SQLite file is made.
    makes_file = True
    #: And how many seconds a lock is waited for: it must not queue for ever behind a busy table.
    patience = 30.0
    #: It leads to another database than the tenant's entry says; see ``tenancy.connections.elsewhere``.
    is_elsewhere = False
    #: A report's connection cannot write, may take longer, and goes to a replica. Set by
    #: ``tenancy.connections.reading`` only.
    reading: Reading | None = None

    #: Whose this physical connection has shown itself to be; see ``TenancyWrapper``.
    proven = ""
    witnessed = False

    #: What the pool gave for this physical connection; see ``tenancy.pool``.
    slot: Slot | None = None
    #: Of a connection that was closed while it was being opened, and whose session is not over: see
    #: ``tenancy.departures``.
    line: int | None = None
    #: How many cursors are alive.
    cursors = 0
    #: When the driver was called, on ``time.monotonic()``'s clock; 0 between calls. ``tenancy.watchdog``
    #: reads it.
    call_started = 0.0
    #: Seconds that a call may take, whatever its server says of itself.
    call_limit = float("inf")
    #: The scope ended while this was in use by another thread, which finishes what it is at, and nothing
    #: more.
    orphaned = False

    #: In ``connect()``. Whoever ends the scope leaves the connection to the thread that opens it.
    opening = False
    #: A statement was run that may have changed the session for those that come after.
    session_changed = False

    #: Whether to wait a moment for the server to see that it is closed, so that its room is free at once.
    hang_up_patiently = True

    #: Opened for a tenant that may be read only. The server, or SQLite, then refuses every write.
    read_only = False

    #: What makes up a physical connection, and moves with it from one wrapper to another.
    physical: tuple[str, ...] = ("connection", "proven", "witnessed", "autocommit", "slot", "read_only")

    def connect(self) -> None:
        """Open a connection within the pool's budget, or take over one that comes free while waiting.

        Raises ``DatabaseBusy`` or ``DatabaseUnavailable`` when there is none, and ``ScopeEnded`` when the
        scope is over: it may end while this thread is in here, and then nobody else closes the connection.
        """
        if self.alias == NO_DB_ALIAS:  # Django's, to make and drop a test's database
            self._open()
            return
        self.opening = True
        try:
            if not self.orphaned:
                self._connect()
        finally:
            self.opening = False
        if self.orphaned:
            self.discard()
            raise ScopeEnded(self.alias)

    def _connect(self) -> None:
        while True:
            grant = pool.reserve(
                self.alias, self.server(), fresh=self.maintenance or self.reading is not None
            )
            if grant.slot is not None:
                self._open_in(grant.slot)
                return
            spare: Any = grant.connection
            if spare.is_fit():
                self._take_over(spare)
                return
            spare.discard()

    def server(self) -> Server | None:
        """Where the next connection goes."""
        return server_of(self.settings_dict)

    def _open_in(self, slot: Slot) -> None:
        started = time.monotonic()
        pool.hold(slot, self)  # from the first statement on, which may hang, the watchdog sees it
        try:
            self._open()
        except DatabaseUnavailable:
            pool.failed(slot, time.monotonic() - started, self._take_line())
            raise
        except BaseException:
            pool.abandoned(slot, self._take_line())
            raise
        self.slot = slot
        pool.connected(slot)

    def _take_line(self) -> int | None:
        line, self.line = self.line, None
        return line

    def _open(self) -> None:
        self.read_only = self.must_be_read_only()
        self.witnessed = False
        self.session_changed = False
        self.proven = self.alias
        try:
            super().connect()
        except self.Database.Error as exc:
            self.discard()
            if classify(exc) is Fault.BUSY:
                raise DatabaseBusy(self.alias) from exc
            raise DatabaseUnavailable(self.alias, self.why_unreachable()) from exc
        except BaseException:
            # Half set up: the next caller must not take it for one that has shaken hands.
            self.discard()
            raise
        self.proven = ""

    def init_connection_state(self) -> None:
        """Django's; where it asks the server something, the watchdog has to see that it waits."""
        self.call_started = time.monotonic()
        try:
            super().init_connection_state()
        finally:
            self.call_started = 0.0

    def opening_words(self) -> str:
        """SQL that goes to the server in the message of the handshake."""
        return ""

    def enter_snapshot(self) -> None:
        """Connect, and be in a transaction that Django takes for its own: an ``atomic()`` inside it is a
        savepoint, and nothing commits it."""
        self.ensure_connection()
        self.in_atomic_block = True
        self.autocommit = False  # as Django notes it; without that it makes no savepoints

    def leave_snapshot(self) -> None:
        """Nothing was written, so there is nothing to undo but what Django noted."""
        self.in_atomic_block = self.needs_rollback = False
        self.autocommit = True
        self.savepoint_ids, self.atomic_blocks, self.run_on_commit = [], [], []
        if self.closed_in_transaction:  # inside of it; as Atomic does
            self.closed_in_transaction = False
            self.connection = None

    def why_unreachable(self) -> str:
        """For the operator, as the end of a sentence."""
        return "it cannot be reached"

    def must_be_read_only(self) -> bool:
        """Whether the tenant in context, whose connection this is, may be read only.

        It binds whoever works for the tenant. Who names the alias outside of its context, and maintenance,
        upgrade a tenant that is read only too."""
        if self.maintenance:
            return False
        if self.reading is not None:
            return True
        tenant = current_tenant()
        return tenant is not None and tenant.status is Status.READ_ONLY and tenant.id == self.alias

    def _take_over(self, other: Self) -> None:
        """Go on with the physical connection of another wrapper, which is never of use again."""
        for name in self.physical:
            setattr(self, name, getattr(other, name))
        other.orphaned = True
        other.connection = None
        other.slot = None
        other.proven = ""
        self.welcome()
        if self.slot is not None:
            pool.hold(self.slot, self)

    def welcome(self) -> None:
        """Begin anew on a connection that was kept, as Django's ``connect()`` does on a new one; for the
        thread that calls."""
        self._thread_ident = get_ident()
        self.in_atomic_block = False
        self.savepoint_ids = []
        self.atomic_blocks = []
        self.run_on_commit = []
        self.closed_in_transaction = self.needs_rollback = self.errors_occurred = False
        self.health_check_done = True
        self.session_changed = False
        self.close_at = None  # the pool decides how old it may get
        self.queries_log.clear()

    def give_back(self) -> bool:
        """The scope that held it is over; see ``tenancy.context.Held``."""
        if self._thread_ident != get_ident():
            return self._leave_thread()
        if self.connection is None:
            return True
        if self._is_in_order():
            self._thread_ident = 0  # nobody's
            pool.park(self)
            return True
        left_open = self.in_atomic_block
        self.close()
        if left_open:
            raise TransactionLeftOpen(self.alias)
        return True

    def _leave_thread(self) -> bool:
        """Give it back while its thread may still be at work, as after an ASGI request that was cancelled.

        Its wrapper stays that thread's, and is dead; the connection goes on in a new one. In the middle of a
        query or a transaction it is not touched: the thread closes it when that is done.
        """
        # First noted, then asked: a thread that opens it does it the other way round, so that one of the two
        # sees the other.
        self.orphaned = True
        if self.opening or self.connection is None:
            return True
        if not self._is_in_order():
            self.close_when_done()
            return self.connection is None
        fresh = type(self)(self.settings_dict, self.alias)
        fresh._take_over(self)
        fresh._thread_ident = 0
        pool.park(fresh)
        return True

    def close_when_done(self) -> None:
        """Close a connection whose scope is over, unless its thread is still in the middle of something."""
        is_busy = self.cursors or self.in_atomic_block or self.call_started or self.opening
        if self.autocommit and not is_busy:
            self.discard()

    def _is_in_order(self) -> bool:
        """Whether nothing is left over that the next one would find."""
        return (
            not self.cursors
            and not self.in_atomic_block
            and bool(self.autocommit)
            and not self.run_on_commit
            and not self.needs_rollback
            and not self.execute_wrappers
            and not self.call_started
            and not self.session_changed
            and not self.maintenance
            and self.reading is None
            and not self.force_debug_cursor
            and not self.allow_thread_sharing
            and self.is_idle()
            and (not self.errors_occurred or self.is_usable())
            and self.is_current()
        )

    def is_fit(self) -> bool:
        """See ``tenancy.pool.Poolable``."""
        return self.is_right() and self.is_usable()

    def is_right(self) -> bool:
        """Whether it is what would be opened now for whoever is in context."""
        return self.is_current() and self.read_only is self.must_be_read_only()

    def is_current(self) -> bool:
        """Whether it was made from the tenant's entry as it stands: one from an old entry goes to nobody."""
        if self.is_elsewhere:
            return True
        try:
            return connections.settings.get(self.alias) is self.settings_dict
        except DatabaseUnavailable:
            return False  # whoever asks for that tenant is told

    def is_spare(self) -> bool:
        """Whether it could be closed and opened again without anybody noticing."""
        return self.connection is not None and self._thread_ident == get_ident() and self._is_in_order()

    def is_idle(self) -> bool:
        """Whether the driver knows of no transaction."""
        raise NotImplementedError

    def sever(self) -> None:
        """Make a call that another thread is stuck in fail. Engines that cannot get stuck do nothing."""

    def break_off(self) -> None:
        """Make the statement that another thread waits for fail. The connection stays."""
        raise NotImplementedError

    def _close(self) -> None:
        # Of an orphaned connection the thread that ends its scope, its own and the one that looks after
        # finalizers may all find that it is time. SQLite crashes when two close at once.
        closing = self.__dict__.setdefault("closing", Lock())
        if not closing.acquire(blocking=False):
            return
        raw, slot, self.slot = self.connection, self.slot, None
        line = None
        try:
            if raw is not None:
                line = self._hang_up(raw)
        finally:
            closing.release()
            if slot is not None:
                pool.release(slot, line)
            elif self.opening:
                self.line = line  # for _open_in, which has the slot
            elif line is not None:
                os.close(line)

    def _hang_up(self, raw: Any) -> int | None:
        """Close the physical connection. Returns a descriptor at which its server will show that the session
        is over, unless it is."""
        with self.wrap_database_errors:
            raw.close()
        return None

    def discard(self, *, patiently: bool = True) -> None:
        """Close it physically, in whatever state it is. For whoever alone has it.

        As Django's ``close()``, which refuses in an event loop: there scopes end, and cursors are collected.
        """
        self.proven = ""
        self.run_on_commit = []
        self.hang_up_patiently = patiently
        if self.connection is None or self.closed_in_transaction:
            return
        try:
            self._close()
        finally:
            if self.in_atomic_block:
                self.closed_in_transaction = self.needs_rollback = True
            else:
                self.connection = None
