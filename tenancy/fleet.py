"""Many tenants: one after the other, or some at a time.

``run()`` calls a function for each tenant of a selection, in threads. Each call is in its tenant's context
and leaves no connection behind, so as many are open as calls run. What fails for one tenant stops no other.
"""

from __future__ import annotations

import enum
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from django.db import Error

from tenancy.backends.faults import Fault, classify
from tenancy.conf import conf
from tenancy.connections import closed_after
from tenancy.context import current_tenant_id, in_request, tenant_context
from tenancy.exceptions import StampMismatch, TenantLocked
from tenancy.log import without_secrets
from tenancy.pool import pool
from tenancy.registry import get_registry
from tenancy.tenant import Status, Tenant

T = TypeVar("T")

logger = logging.getLogger("tenancy.fleet")

#: Seconds that a call has to end after its statement was broken off, before its thread is given up.
GRACE = 2.0
#: Seconds between two tries to break one off; and that nobody waits longer than to look again.
TICK, LONG = 0.25, 3600.0


def each_tenant(*, include_suspended: bool = False) -> Iterator[Tenant]:
    """Every tenant in turn, in context, for loops of your own::

        for tenant in each_tenant():
            print(tenant.name, Product.objects.count())

    Each is entered before and left after its turn, and its connection is closed, so that a loop over a
    thousand tenants holds one. What one tenant raises ends the loop unless you catch it inside the
    body. Suspended tenants are left out: ``suspended_tenants()`` names them. Raises
    ``RegistryUnavailable`` when there is no valid tenants.yaml.

    This is the one place that yields inside a tenant block: the body of your loop is meant to run in
    it. However a ``for`` loop over it ends, by ``break`` and by exceptions too, Python closes the
    generator and the context is left. Do not keep it in a variable: then it lives as long as that.
    """
    registry = get_registry()
    registry.require()
    for tenant in registry:
        if tenant.status is Status.SUSPENDED and not include_suspended:
            continue
        with tenant_context(tenant), closed_after(tenant.id):
            yield tenant


def suspended_tenants() -> list[Tenant]:
    """The tenants that ``each_tenant()`` leaves out."""
    return [tenant for tenant in get_registry() if tenant.status is Status.SUSPENDED]


class Result(enum.StrEnum):
    """How a tenant's turn went. The names are for machines, too."""

    OK = "ok"
    FAILED = "failed"
    #: Its database could not be reached.
    UNREACHABLE = "unreachable"
    #: What it needed was in use for too long: a lock, a connection, the server itself.
    BUSY = "busy"
    #: Its database is behind the code; ``tenants migrate`` helps.
    BEHIND = "behind"
    TIMED_OUT = "timed_out"
    #: Not begun: suspended, or the run had ended.
    SKIPPED = "skipped"


_RESULTS = {
    Fault.UNAVAILABLE: Result.UNREACHABLE,
    Fault.BUSY: Result.BUSY,
    Fault.MIGRATING: Result.BEHIND,
}


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How one tenant's turn went: ``value`` when ok, ``error`` (one line, no secret) when not."""

    tenant: Tenant
    result: Result
    seconds: float = 0.0
    value: T | None = None
    error: str = ""

    @property
    def is_ok(self) -> bool:
        return self.result is Result.OK


def run(
    function: Callable[[Tenant], T],
    tenants: Iterable[Tenant],
    *,
    jobs: int = 1,
    timeout: float | None = None,
    fail_fast: bool = False,
) -> Iterator[Outcome[T]]:
    """Call ``function`` for each tenant, in its context, ``jobs`` at a time; yields outcomes as they come.

    After ``timeout`` seconds a call's statements are broken off, which its database undoes; a call that does
    not end then either is given up: its thread goes on alone, and what it does is not waited for.
    ``fail_fast`` begins no other tenant after the first that is not ok, and yields the rest as skipped. When
    the caller stops iterating, Ctrl-C included, nothing more is begun, and what runs is waited for. One job
    without a limit runs in the caller's thread, whose open transactions (a test's) it sees; more than the
    pool has room for do not help, and are not used. Raises ``TenantLocked`` inside a request.
    """
    if in_request():
        raise TenantLocked("other tenants", current_tenant_id())
    waiting = iter(list(tenants))  # not a generator's, which two threads may not ask at once
    if jobs == 1 and timeout is None:
        for tenant in waiting:
            outcome = _take_turn(function, _Turn(tenant))
            yield outcome
            if fail_fast and not outcome.is_ok:
                break
    else:
        yield from _Crew(function, waiting, max(1, min(jobs, conf.pool_size)), timeout, fail_fast).outcomes()
    for tenant in waiting:
        yield Outcome(tenant, Result.SKIPPED, error="not begun: another failed")


def run_each(function: Callable[[Tenant], T]) -> list[Outcome[T]]:
    """``run()`` over all tenants, one at a time, as a list; suspended ones are skipped, and in it as such."""
    get_registry().require()
    active = [tenant for tenant in get_registry() if tenant.status is not Status.SUSPENDED]
    skipped = [Outcome[T](tenant, Result.SKIPPED, error="suspended") for tenant in suspended_tenants()]
    return [*run(function, active), *skipped]


@dataclass(eq=False)
class _Turn:
    """One call that runs."""

    tenant: Tenant
    started: float = field(default_factory=time.monotonic)
    thread_id: int = field(default_factory=threading.get_ident)
    broken_off: float = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def break_off(self, *, for_good: bool = False) -> None:
        """Make the statements fail that its thread is in, on whatever connection; ``for_good``, its
        connections are cut."""
        for connection in pool.holders():
            if connection._thread_ident == self.thread_id:
                connection.session_changed = True  # closed from now on, and not kept: a cancel may come late
                if connection._thread_ident == self.thread_id:
                    connection.sever() if for_good else connection.break_off()


_own = threading.local()


def is_out_of_time() -> bool:
    """Whether the turn that this thread takes has been broken off: then its error is not the database's."""
    turn: _Turn | None = getattr(_own, "turn", None)
    return turn is not None and bool(turn.broken_off)


def _take_turn(function: Callable[[Tenant], T], turn: _Turn, timeout: float | None = None) -> Outcome[T]:
    """The only place that catches every exception: it is recorded for its tenant."""
    tenant = turn.tenant
    _own.turn = turn
    try:
        with tenant_context(tenant), closed_after(tenant.id):
            value = function(tenant)
    except Exception as exc:
        logger.debug("Tenant '%s' failed.", tenant.id, exc_info=exc)
        if turn.broken_off:
            error = f"took longer than {timeout:g} s, and was broken off"
            return Outcome(tenant, Result.TIMED_OUT, turn.seconds, error=error)
        # Somebody else's database answers, and is the wrong one.
        is_fault = isinstance(exc, Error) and not isinstance(exc, StampMismatch)
        result = _RESULTS.get(classify(exc), Result.FAILED) if is_fault else Result.FAILED
        return Outcome(tenant, result, turn.seconds, error=first_line(exc))
    return Outcome(tenant, Result.OK, turn.seconds, value=value)


@dataclass(frozen=True, eq=False)
class _Ended:
    """A thread has, and with what that is the caller's to know."""

    thread: threading.Thread
    error: BaseException | None


class _Crew(Generic[T]):
    """Threads that take tenants in turn. What they share is changed with the lock held."""

    def __init__(
        self,
        function: Callable[[Tenant], T],
        waiting: Iterator[Tenant],
        jobs: int,
        timeout: float | None,
        fail_fast: bool,
    ) -> None:
        self.function = function
        self.waiting = waiting
        self.jobs = jobs
        self.timeout = timeout
        self.fail_fast = fail_fast
        self._lock = threading.Lock()
        self._ended = False
        #: Who works, and at what; a thread that was given up is not among them any more.
        self._turns: dict[threading.Thread, _Turn | None] = {}
        #: Bounded: whoever works waits for a consumer that is slower.
        self._done: queue.Queue[Outcome[T] | _Ended] = queue.Queue(2 * jobs)

    def outcomes(self) -> Iterator[Outcome[T]]:
        """As they come. When nobody wants more of them nothing is begun, and what runs is waited for."""
        try:
            for _ in range(self.jobs):
                self._hire()
            yield from self._outcomes()
        finally:
            self._ended = True
            for _ in self._outcomes():
                pass

    def _outcomes(self) -> Iterator[Outcome[T]]:
        ending: BaseException | None = None
        while self._turns:
            try:
                found = self._done.get(timeout=self._patience())
            except queue.Empty:
                yield from self._look_at_the_clock()
                continue
            if isinstance(found, Outcome):
                yield found
                continue
            with self._lock:
                self._turns.pop(found.thread, None)
            ending = ending or found.error
        if ending is not None:
            raise ending

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name="fleet", daemon=True)
        with self._lock:
            self._turns[thread] = None
        try:
            thread.start()
        except BaseException:
            with self._lock:
                del self._turns[thread]
            raise

    def _work(self) -> None:
        me = threading.current_thread()
        ending: BaseException | None = None
        try:
            while (turn := self._next(me)) is not None:
                outcome = _take_turn(self.function, turn, self.timeout)
                if not self._finish(me, turn, outcome):
                    return
        except BaseException as exc:  # noqa: BLE001  # Ctrl-C and exit are the caller's, in its thread
            ending = exc
            self._ended = True
        finally:
            with self._lock:
                is_awaited = me in self._turns
            if is_awaited:
                self._done.put(_Ended(me, ending))

    def _next(self, me: threading.Thread) -> _Turn | None:
        with self._lock:
            tenant = None if self._ended else next(self.waiting, None)
            if tenant is None:
                return None
            turn = self._turns[me] = _Turn(tenant)
            return turn

    def _finish(self, me: threading.Thread, turn: _Turn, outcome: Outcome[T]) -> bool:
        """Hand in what came of a turn. Returns False when it had been given up before."""
        with self._lock:
            if self._turns.get(me) is not turn:
                return False
            self._turns[me] = None
            if self.fail_fast and not outcome.is_ok:
                self._ended = True  # before anybody takes the next
        self._done.put(outcome)
        return True

    def _patience(self) -> float | None:
        """Seconds until somebody has to be looked at."""
        if self.timeout is None:
            return None
        with self._lock:
            turns = [turn for turn in self._turns.values() if turn is not None]
        if any(turn.broken_off for turn in turns):
            return TICK
        now = time.monotonic()
        # A turn that begins from now on does not end sooner than this.
        soonest = min((turn.started + self.timeout for turn in turns), default=now + self.timeout)
        return min(max(0.0, soonest - now), LONG) + 0.001

    def _look_at_the_clock(self) -> Iterator[Outcome[T]]:
        now = time.monotonic()
        given_up: list[_Turn] = []
        with self._lock:
            for thread, turn in list(self._turns.items()):
                if turn is None or self.timeout is None or now - turn.started < self.timeout:
                    continue
                if turn.broken_off and now - turn.broken_off >= GRACE:
                    del self._turns[thread]
                    turn.break_off(for_good=True)
                    given_up.append(turn)
                    self._ended = self._ended or self.fail_fast
                else:
                    turn.broken_off = turn.broken_off or now
                    # Each time: it may have been between two statements.
                    turn.break_off()
        for turn in given_up:
            if not self._ended:
                # It is inside something that no database can end. Another takes its place.
                self._hire()
            error = f"took longer than {self.timeout:g} s and could not be broken off; it may still run"
            yield Outcome(turn.tenant, Result.TIMED_OUT, turn.seconds, error=error)


def first_line(exc: BaseException) -> str:
    """An error in one line that can be shown and kept: without secrets, and without what a terminal obeys."""
    return f"{type(exc).__name__}: {_words(exc)}" if _words(exc) else type(exc).__name__


def _words(exc: BaseException) -> str:
    try:
        line = without_secrets(next(iter(str(exc).strip().splitlines()), ""))
        return "".join(letter if letter.isprintable() else "?" for letter in line)
    except Exception:  # noqa: BLE001  # an error that cannot say what it is, is one all the same
        return ""
