"""One pool of connections for all tenants, and a share of its own for the control plane.

Connections are few and tenants are many, so a process keeps a budget. What nobody uses is kept for whoever
works for the same tenant next; beyond the budget the one that was idle longest is closed, never one in use. A
tenant may have a share only, so that a slow or greedy one leaves room for the others. Whoever finds no room
waits a moment, in turn, and is then told that it is busy.

What is kept are whole wrappers (``tenancy.backends.wrapper``), whose physical connection has shown whose it
is; the pool hands one to callers for the same alias only, and knows nothing else about it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tenancy.breaker import Breaker, State
from tenancy.conf import conf
from tenancy.departures import Departures
from tenancy.exceptions import DatabaseBusy, DatabaseUnavailable
from tenancy.planes import CONTROL_ALIAS
from tenancy.servers import Server, Servers

logger = logging.getLogger("tenancy.pool")

#: Seconds that closing many connections may take because servers say nothing.
PATIENCE = 0.2
#: Seconds between two looks of somebody who waits at the sessions that are to end.
_LOOK = 0.02


class Poolable(Protocol):
    """A connection, as the pool sees it."""

    alias: str
    slot: Slot | None

    def is_fit(self) -> bool:
        """Whether it can be handed to the running code; asks nothing of the server."""

    def discard(self, *, patiently: bool = True) -> None:
        """Close it physically, which gives its slot back; ``patiently``: wait a moment for the server to see
        it, so that the room is there at once."""


class Slot:
    """Leave to have one physical connection open."""

    __slots__ = ("alias", "holder", "is_leaving", "opened_at", "server", "spent")

    def __init__(self, alias: str, server: Server | None) -> None:
        self.alias = alias
        #: Where the connection goes; None for a file.
        self.server = server
        self.opened_at = time.monotonic()
        #: Given back, or passed on to another alias.
        self.spent = False
        #: Its connection was closed, and its server did not end the session at once.
        self.is_leaving = False
        #: The wrapper, for those who look after open connections; it dies when the wrapper does.
        self.holder: weakref.ref[Any] | None = None


@dataclass
class Account:
    """What one alias has and wants. Kept while there is anything to know."""

    alias: str
    #: Where its last connection went.
    server: Server | None = None
    open: int = 0
    #: Of those, how many are still connecting, and since when the first of them.
    connecting: int = 0
    connecting_since: float = 0.0
    #: Of those, how many have been in one and the same call for longer than anybody waits.
    stuck: int = 0
    #: The last parked is the first taken, so that the rest may age.
    idle: list[Poolable] = field(default_factory=list)
    breaker: Breaker | None = None


@dataclass(frozen=True)
class Wish:
    """What a caller asks for. ``fresh`` is a connection that nobody has used. ``spares_slow`` closes nothing
    at a server that is slow to end sessions: that makes no room in time."""

    alias: str
    server: Server | None = None
    fresh: bool = False
    spares_slow: bool = False

    @property
    def is_control(self) -> bool:
        return self.alias == CONTROL_ALIAS


@dataclass(frozen=True)
class Grant:
    """What a caller was given: room for a new connection, or a connection that was idle.

    ``victim`` must be closed, and its session over, before a new one is opened: its room is the room.
    """

    slot: Slot | None = None
    connection: Poolable | None = None
    victim: Poolable | None = None


class _Waiter:
    """A caller in the queue. Its lock is released when it was served, or has nothing to hope for."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.since = time.monotonic()
        self.grant: Grant | None = None
        self.hopeless = False
        self.served = threading.Lock()
        self.served.acquire()


@dataclass
class Counters:
    """What happened since the process started."""

    taken: int = 0
    opened: int = 0
    evicted: int = 0
    aged: int = 0
    waited: int = 0
    busy: int = 0
    refused: int = 0


class Pool:
    """The connections of one process. All methods may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        #: Least recently parked first.
        self._idle: OrderedDict[int, tuple[Poolable, float]] = OrderedDict()
        self._open = {False: 0, True: 0}  # by whether it is the control plane's
        self._queue: deque[_Waiter] = deque()
        self._slots: set[Slot] = set()
        self._servers = Servers()
        #: Rooms that are taken by sessions which were told to end.
        self._departures: Departures[Slot] = Departures()
        #: Slots whose wrapper was collected as garbage. A finalizer may run anywhere, also where this thread
        #: holds the lock, so it only notes it here.
        self._lost: deque[Slot] = deque()
        #: What finalizers want to have done: to close a connection takes the lock, and time.
        self._chores: deque[Callable[[], object]] = deque()
        self.counters = Counters()
        #: Closes a connection that the calling thread holds and does not use now; says whether there was one.
        self.close_spare: Callable[[], bool] = lambda: False
        #: Tells whoever looks after the pool that there is something to look at.
        self.wake: Callable[[], None] = lambda: None

    # Taking and giving back

    def take(self, alias: str) -> Poolable | None:
        """An idle connection of ``alias`` that can be used, or None. Opens nothing and never waits."""
        while True:
            with self._lock:
                account = self._accounts.get(alias)
                if account is None or not account.idle:
                    return None
                connection = account.idle.pop()
                del self._idle[id(connection)]
                self.counters.taken += 1
            if connection.is_fit():
                return connection
            connection.discard()

    def park(self, connection: Poolable) -> None:
        """Keep a connection that is in order for whoever needs it next."""
        slot = connection.slot
        if slot is None or slot.spent or time.monotonic() - slot.opened_at > conf.max_age:
            connection.discard()
            return
        with self._lock:
            self._accounts[connection.alias].idle.append(connection)
            self._idle[id(connection)] = (connection, time.monotonic())
            self._serve_queue()

    def reserve(self, alias: str, server: Server | None = None, *, fresh: bool = False) -> Grant:
        """Room for a new connection to ``alias``, or an idle one unless it must be ``fresh``.

        Waits ``TENANCY_POOL_WAIT`` seconds at most. Raises ``DatabaseBusy`` then, and at once where waiting
        is futile: while a database that has no other connection takes its time to connect, or its server does
        so to as many as one tenant may have, or all that it has are stuck. Raises ``DatabaseUnavailable``
        while the breaker is open, or ``server`` is known to be silent.
        """
        wish = Wish(alias, server, fresh)
        self.do_chores()
        with self._lock:
            self._collect()
            self._refuse_if_broken(wish)
        if self.is_full(alias) and not self._has_room(alias):
            self.close_spare()
        deadline = time.monotonic() + conf.pool_wait
        while True:
            grant = self._grant_or_queue(wish)
            if isinstance(grant, _Waiter):
                grant = self._wait(grant, max(deadline - time.monotonic(), 0))
            if self._has_its_room(grant):
                return grant
            # Once is enough: all that others keep would be closed, and none of it make room.
            wish = replace(wish, spares_slow=True)
            if time.monotonic() > deadline:
                self.counters.busy += 1
                raise DatabaseBusy(alias)

    def _has_its_room(self, grant: Grant) -> bool:
        """Close the victim, and see whether that made room. If not the grant is worth nothing."""
        if grant.victim is None or grant.slot is None:
            return True
        room = grant.victim.slot
        try:
            grant.victim.discard()
        except BaseException:
            self.abandoned(grant.slot)
            raise
        if room is None or not room.is_leaving:
            return True
        self.abandoned(grant.slot)
        return False

    def _grant_or_queue(self, wish: Wish) -> Grant | _Waiter:
        with self._lock:
            self._collect()
            grant = self._grant(wish)
            if grant is not None:
                return grant
            if self._is_futile(wish, conf.pool_wait) or self._is_too_long_a_queue(wish):
                self.counters.busy += 1
                raise DatabaseBusy(wish.alias)
            self.counters.waited += 1
            waiter = _Waiter(wish)
            self._queue.append(waiter)
            return waiter

    def _has_room(self, alias: str) -> bool:
        with self._lock:
            return self._longest_idle(Wish(alias)) is not None

    def connected(self, slot: Slot) -> None:
        """The connection that ``slot`` was reserved for is open."""
        with self._lock:
            self.counters.opened += 1
            self._end_connecting(slot).breaker = None
            self._serve_queue()

    def failed(self, slot: Slot, seconds: float, line: int | None = None) -> None:
        """It could not be opened, which took this long to know. With a ``line`` there is a session all the
        same, as in ``release``."""
        with self._lock:
            account = self._end_connecting(slot)
            breaker = _breaker(account)
            if breaker.failed(seconds, is_file=slot.server is None):
                self._disappoint(lambda wish: wish.alias == slot.alias)
            if breaker.silent and slot.server is not None:
                self._servers.suspect(slot.server)
            self._leave(slot, line)
        self.wake()

    def distrust(self, alias: str) -> None:
        """Open a database's breaker: it let somebody in, and did not say whose it is."""
        with self._lock:
            account = self._account(alias)
            _breaker(account).trip()
            self._disappoint(lambda wish: wish.alias == alias)

    def abandoned(self, slot: Slot, line: int | None = None) -> None:
        """The same, for a reason that says nothing about the database."""
        with self._lock:
            breaker = self._end_connecting(slot).breaker
            if breaker is not None:
                breaker.did_not_try()
            self._leave(slot, line)
        if line is not None:
            self.wake()

    def release(self, slot: Slot, line: int | None = None) -> None:
        """The connection that held ``slot`` is closed. With a ``line`` its room is taken until the server
        hangs up on that descriptor, which is the pool's from now on."""
        with self._lock:
            self._leave(slot, line)
        if line is not None:
            self.wake()

    def hold(self, slot: Slot, wrapper: Any) -> None:
        """Remember whose slot it is, and take it back when the wrapper is collected without being closed."""
        slot.holder = weakref.ref(wrapper, lambda _: self._lost.append(slot))
        with self._lock:
            self._slots.add(slot)
        self.wake()

    # Looking after what is open

    def discard_idle(self, aliases: AbstractSet[str] | None = None) -> None:
        """Close what is idle: of these aliases, or all of it."""
        with self._lock:
            found = [
                connection
                for connection, _ in self._idle.values()
                if aliases is None or connection.alias in aliases
            ]
            for connection in found:
                self._unpark(connection)
        discard_all(found)

    def discard_aged(self) -> None:
        """Close what has been idle for ``TENANCY_POOL_IDLE_SECONDS``."""
        before = time.monotonic() - conf.idle_seconds
        aged = []
        with self._lock:
            self._collect()
            while self._idle:
                connection, since = next(iter(self._idle.values()))
                if since > before:
                    break
                self._unpark(connection)
                self.counters.aged += 1
                aged.append(connection)
        discard_all(aged)

    def silence(self, server: Server) -> list[Poolable]:
        """Refuse whoever wants to connect to a server that was asked, and said nothing. Returns what was idle
        there, for the caller to close: each takes a moment, and others have to be told first."""
        with self._lock:
            self._servers.silence(server)
            self._disappoint(lambda wish: wish.server == server)
            for room in self._departures.give_up(server):
                self._release(room)
            idle = [
                connection
                for account in self._accounts.values()
                if account.server == server
                for connection in account.idle
            ]
            for connection in idle:
                self._unpark(connection)
        self.wake()
        return idle

    def look_at_departures(self) -> None:
        """Give the rooms of sessions that have ended to whoever waits, and have a server asked whether it is
        there that does not end one."""
        with self._lock:
            self._collect()
            for server in self._departures.slow(time.monotonic()):
                self._servers.suspect(server)

    def heard(self, server: Server) -> None:
        """A server that was silent, or suspected of it, answers."""
        with self._lock:
            self._servers.heard(server)
            for account in self._accounts.values():
                if account.breaker is not None and account.breaker.silent and account.server == server:
                    account.breaker.heard()

    def to_be_asked(self) -> list[Server]:
        """The servers that do not answer, as far as is known."""
        with self._lock:
            return self._servers.to_be_asked(time.monotonic())

    def later(self, chore: Callable[[], object]) -> None:
        """Have something done soon, by another thread or a later call. For finalizers, which may run where
        this thread holds the lock; takes none."""
        self._chores.append(chore)

    def do_chores(self) -> None:
        """Do what finalizers left."""
        while self._chores:
            try:
                chore = self._chores.popleft()
            except IndexError:
                return  # another thread was faster
            try:
                chore()
            except Exception:
                # Not the trouble of whoever happens to come by.
                logger.exception("A connection could not be closed.")

    def holders(self) -> Iterator[Any]:
        """The wrappers that have a connection, in use or idle."""
        with self._lock:
            slots = list(self._slots)
        yield from _holders(slots)

    def note_stuck(self, stuck: dict[str, int]) -> None:
        """How many connections of each alias are stuck in a call."""
        with self._lock:
            for alias, account in self._accounts.items():
                account.stuck = stuck.get(alias, 0)

    def is_full(self, alias: str) -> bool:
        """Whether the budget that ``alias`` draws on is spent."""
        control = alias == CONTROL_ALIAS
        return self._open[control] >= (conf.control_size if control else conf.pool_size)

    def open_connections(self, alias: str | None = None) -> int:
        """How many connections are open: to one alias, or to all."""
        self.do_chores()
        with self._lock:
            self._collect()
            if alias is None:
                return sum(self._open.values())
            account = self._accounts.get(alias)
            return 0 if account is None else account.open

    def idle_connections(self, alias: str | None = None) -> int:
        """How many of them are idle."""
        with self._lock:
            if alias is None:
                return len(self._idle)
            account = self._accounts.get(alias)
            return 0 if account is None else len(account.idle)

    def is_quiet(self) -> bool:
        """Whether there is nothing to look after."""
        return not (any(self._open.values()) or self._accounts or self._servers or self._chores)

    def forget(self) -> None:
        """Start anew, as in a process that was forked: the connections are the parent's, who uses them.

        They are kept where nobody finds them. Collected, they would say goodbye to the server in the parent's
        name.
        """
        # Without the lock: whoever held it when the process was forked is not here to let go.
        _graveyard.append([self._idle, list(_holders(self._slots))])
        self._departures.give_up()
        close_spare, wake = self.close_spare, self.wake
        self.__init__()  # type: ignore[misc]
        self.close_spare, self.wake = close_spare, wake

    def reset_breakers(self) -> None:
        """Forget all failures; for tests."""
        with self._lock:
            for server in self._servers.to_be_asked(time.monotonic()):
                self._servers.heard(server)
            for account in list(self._accounts.values()):
                account.breaker = None
                self._forget_if_empty(account)

    # With the lock held

    def _account(self, alias: str) -> Account:
        account = self._accounts.get(alias)
        if account is None:
            account = self._accounts[alias] = Account(alias)
        return account

    def _forget_if_empty(self, account: Account) -> None:
        if not account.open and account.breaker is None:
            self._accounts.pop(account.alias, None)

    def _grant(self, wish: Wish) -> Grant | None:
        account = self._account(wish.alias)
        if account.server != wish.server:
            account.server, account.breaker = wish.server, None  # what failed before was another server
        grant = self._grant_to(account, wish)
        if grant is None:
            self._forget_if_empty(account)
        return grant

    def _grant_to(self, account: Account, wish: Wish) -> Grant | None:
        if account.idle and not wish.fresh:
            connection = account.idle[-1]
            self._unpark(connection)
            self.counters.taken += 1
            return Grant(connection=connection)
        if not wish.is_control:
            if account.connecting and account.connecting == account.open:
                return None  # nobody knows yet whether it can be reached: one finds out
            if account.open - len(account.idle) >= conf.tenant_share:
                return None
            if self._servers.connecting(wish.server) >= conf.tenant_share:
                return None
        if account.breaker is not None and account.breaker.state() is State.OPEN:
            return None  # somebody tries
        victim: Poolable | None = None
        if account.idle:
            victim = account.idle[0]
        elif self.is_full(wish.alias):
            victim = self._longest_idle(wish)
            if victim is None:
                return None
        if victim is not None:
            self._evict(victim)
            account = self._account(wish.alias)  # it may have been the last of this one
            account.server = wish.server
        now = time.monotonic()
        if not account.connecting:
            account.connecting_since = now
        account.connecting += 1
        if account.breaker is not None:
            account.breaker.try_once()
        slot = self._take_room(wish.alias, wish.server)
        self._servers.begin(wish.server, slot, now)
        return Grant(slot=slot, victim=victim)

    def _take_room(self, alias: str, server: Server | None) -> Slot:
        self._account(alias).open += 1
        self._open[alias == CONTROL_ALIAS] += 1
        return Slot(alias, server)

    def _longest_idle(self, wish: Wish) -> Poolable | None:
        """The one to close for its room; rather one whose server ends sessions at once."""
        slow, found = self._departures.servers(), None
        for connection, _ in self._idle.values():
            if (connection.alias == CONTROL_ALIAS) is not wish.is_control:
                continue
            if connection.slot is None or connection.slot.server not in slow:
                return connection
            found = found or connection
        return None if wish.spares_slow else found

    def _evict(self, connection: Poolable) -> None:
        self._unpark(connection)
        self.counters.evicted += 1
        if connection.slot is not None:
            self._release(connection.slot, serve=False)

    def _unpark(self, connection: Poolable) -> None:
        del self._idle[id(connection)]
        self._accounts[connection.alias].idle.remove(connection)

    def _leave(self, slot: Slot, line: int | None) -> None:
        if line is not None:
            slot.is_leaving = True
            room = self._take_room(slot.alias, slot.server)
            self._departures.add(room, room.server, line, time.monotonic())
        self._release(slot)

    def _release(self, slot: Slot, *, serve: bool = True) -> None:
        if slot.spent:
            return
        slot.spent = True
        self._slots.discard(slot)
        account = self._accounts[slot.alias]
        account.open -= 1
        self._open[slot.alias == CONTROL_ALIAS] -= 1
        self._forget_if_empty(account)
        if serve:
            self._serve_queue()

    def _end_connecting(self, slot: Slot) -> Account:
        account = self._accounts[slot.alias]
        account.connecting -= 1
        self._servers.end(slot.server, slot)
        return account

    def _collect(self) -> None:
        """Take back what nobody gives back: of wrappers that were collected, of sessions that have ended."""
        while self._lost:
            self._release(self._lost.popleft())
        if self._departures:
            for room in self._departures.gone(time.monotonic()):
                self._release(room)

    def _refuse_if_broken(self, wish: Wish) -> None:
        if self._servers.is_silent(wish.server, time.monotonic()):
            self.counters.refused += 1
            raise DatabaseUnavailable(wish.alias, "its server does not answer")
        account = self._accounts.get(wish.alias)
        if account is None or account.breaker is None or account.server != wish.server:
            return
        if account.breaker.state() is State.OPEN:
            self.counters.refused += 1
            raise DatabaseUnavailable(wish.alias, "it could not be reached a moment ago")

    def _is_futile(self, wish: Wish, wait: float) -> bool:
        now = time.monotonic()
        if (
            not wish.is_control
            and self._servers.connecting(wish.server) >= conf.tenant_share
            and self._servers.longest(wish.server, now) > wait
        ):
            return True
        account = self._accounts.get(wish.alias)
        if account is None:
            return False
        if account.connecting and account.connecting == account.open:
            return now - account.connecting_since > wait
        return 0 < account.open <= account.stuck

    def _is_too_long_a_queue(self, wish: Wish) -> bool:
        """Whether a tenant that has its share has also half as many waiting, and the first of them for a
        while: a burst passes, but each who waits longer is a thread that works for nobody else."""
        account = self._accounts.get(wish.alias)
        if wish.is_control or account is None or account.open < conf.tenant_share:
            return False
        waiting = [waiter.since for waiter in self._queue if waiter.wish.alias == wish.alias]
        if len(waiting) < max(1, conf.tenant_share // 2):
            return False
        return time.monotonic() - waiting[0] > conf.pool_wait / 3

    def _serve_queue(self) -> None:
        for waiter in list(self._queue):
            grant = self._grant(waiter.wish)
            if grant is not None:
                self._queue.remove(waiter)
                waiter.grant = grant
                waiter.served.release()

    def _disappoint(self, whom: Callable[[Wish], bool]) -> None:
        """Whoever waits for a database that was just found unreachable need not wait longer."""
        for waiter in list(self._queue):
            if whom(waiter.wish):
                self._queue.remove(waiter)
                waiter.hopeless = True
                waiter.served.release()

    def _forget_waiter(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter in self._queue:
                self._queue.remove(waiter)
                return
        grant = waiter.grant
        if grant is not None:
            for connection in (grant.connection, grant.victim):
                if connection is not None:
                    connection.discard()
            if grant.slot is not None:
                self.abandoned(grant.slot)

    def _wait(self, waiter: _Waiter, seconds: float) -> Grant:
        deadline = time.monotonic() + seconds
        try:
            while not waiter.served.acquire(timeout=max(min(_LOOK, deadline - time.monotonic()), 0)):
                if time.monotonic() >= deadline:
                    break
                if self._departures:
                    with self._lock:
                        self._collect()
        except BaseException:  # Ctrl-C: nobody comes for what it may have been given
            self._forget_waiter(waiter)
            raise
        with self._lock:
            if waiter.grant is None and not waiter.hopeless:
                self._queue.remove(waiter)
        if waiter.grant is not None:
            return waiter.grant
        if waiter.hopeless:
            self.counters.refused += 1
            raise DatabaseUnavailable(waiter.wish.alias, "it could not be reached a moment ago")
        self.counters.busy += 1
        raise DatabaseBusy(waiter.wish.alias)


def discard_all(connections: Iterable[Poolable]) -> None:
    """Close many in a row. A server that says nothing to a goodbye holds nobody up for long."""
    deadline = time.monotonic() + PATIENCE
    for connection in connections:
        connection.discard(patiently=time.monotonic() < deadline)


def _breaker(account: Account) -> Breaker:
    """The account's, made with the first failure."""
    if account.breaker is None:
        account.breaker = Breaker(conf.breaker_failures, conf.breaker_seconds)
    return account.breaker


def _holders(slots: Iterable[Slot]) -> Iterator[Any]:
    for slot in slots:
        wrapper = None if slot.holder is None else slot.holder()
        if wrapper is not None:
            yield wrapper


_graveyard: list[Any] = []

pool = Pool()

os.register_at_fork(after_in_child=pool.forget)
atexit.register(pool.discard_idle)  # so that servers hear a goodbye
