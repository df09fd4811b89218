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
from typing import Any, Generic, TypeVar

from django.db import Error

from tenancy import connections
from tenancy.backends.faults import Fault, classify
from tenancy.context import Frame, current_frame, tenant_context
from tenancy.registry import get_registry
from tenancy.tenant import Status, Tenant

T = TypeVar("T")

logger = logging.getLogger("tenancy.fleet")

#: Seconds that a call has to end after its statement was broken off, before its thread is given up.
GRACE = 2.0


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
        with tenant_context(tenant):
            try:
                yield tenant
            finally:
                connections.close(tenant.id)


def suspended_tenants() -> list[Tenant]:
    """The tenants that ``each_tenant()`` leaves out."""
    return [tenant for tenant in get_registry() if tenant.status is Status.SUSPENDED]


class Result(enum.StrEnum):
    """How a tenant's turn went. The names are for machines, too."""

    OK = "ok"
    FAILED = "failed"
    #: Its database could not be reached, or was busy for too long.
    UNREACHABLE = "unreachable"
    #: Its database is behind the code; ``tenants migrate`` helps.
    BEHIND = "behind"
    TIMED_OUT = "timed_out"
    #: Not begun: suspended, or the run had ended.
    SKIPPED = "skipped"


_RESULTS = {
    Fault.UNAVAILABLE: Result.UNREACHABLE,
    Fault.BUSY: Result.UNREACHABLE,
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

    After ``timeout`` seconds a call's statement is broken off, which its database undoes; a call that does
    not end then either is left to itself, and its result is not waited for. ``fail_fast`` begins no other
    tenant after the first that is not ok, and yields the rest as skipped. When the caller stops iterating,
    Ctrl-C included, nothing more is begun, and what runs is waited for. One job without a limit runs in the
    caller's thread, whose open transactions (a test's) it sees.
    """
    waiting = iter(list(tenants))  # not a generator's, which two threads may not ask at once
    if jobs == 1 and timeout is None:
        for tenant in waiting:
            outcome = _take_turn(function, _Turn(tenant))
            yield outcome
            if fail_fast and not outcome.is_ok:
                break
    else:
        yield from _Crew(function, waiting, jobs, timeout, fail_fast).outcomes()
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
    #: The scope that holds its connections.
    frame: Frame | None = None
    broken_off: float = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def _take_turn(function: Callable[[Tenant], T], turn: _Turn, timeout: float | None = None) -> Outcome[T]:
    """The only place that catches every exception: it is recorded for its tenant."""
    tenant = turn.tenant
    try:
        with tenant_context(tenant):
            turn.frame = current_frame()
            try:
                value = function(tenant)
            finally:
                connections.close(tenant.id)
    except Exception as exc:
        logger.debug("Tenant '%s' failed.", tenant.id, exc_info=exc)
        if turn.broken_off:
            return _timed_out(turn, timeout)
        result = _RESULTS.get(classify(exc), Result.FAILED) if isinstance(exc, Error) else Result.FAILED
        return Outcome(tenant, result, turn.seconds, error=first_line(exc))
    return Outcome(tenant, Result.OK, turn.seconds, value=value)


def _timed_out(turn: _Turn, timeout: float | None) -> Outcome[Any]:
    error = f"took longer than {timeout:g} s, and was broken off"
    return Outcome(turn.tenant, Result.TIMED_OUT, turn.seconds, error=error)


class _Crew(Generic[T]):
    """Threads that take tenants in turn."""

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
        self._turns: dict[threading.Thread, _Turn] = {}
        self._done: queue.SimpleQueue[tuple[threading.Thread, Outcome[T] | BaseException | None]]
        self._done = queue.SimpleQueue()
        self._threads: set[threading.Thread] = set()

    def outcomes(self) -> Iterator[Outcome[T]]:
        """As they come. When nobody wants more of them nothing is begun, and what runs is waited for."""
        for _ in range(self.jobs):
            self._hire()
        try:
            yield from self._outcomes()
        finally:
            self._ended = True
            for _ in self._outcomes():
                pass

    def _outcomes(self) -> Iterator[Outcome[T]]:
        while self._threads:
            try:
                thread, found = self._done.get(timeout=self._patience())
            except queue.Empty:
                yield from self._look_at_the_clock()
                continue
            if thread not in self._threads:
                continue  # given up
            if isinstance(found, Outcome):
                yield found
                continue
            self._threads.discard(thread)
            if found is not None:
                self._ended = True
                raise found

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name="fleet", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        ending: BaseException | None = None
        try:
            while me in self._threads and (tenant := self._next()) is not None:
                turn = self._turns[me] = _Turn(tenant)
                outcome = _take_turn(self.function, turn, self.timeout)
                self._turns.pop(me, None)
                if self.fail_fast and not outcome.is_ok:
                    self._ended = True  # before anybody takes the next
                self._done.put((me, outcome))
        except BaseException as exc:  # noqa: BLE001  # Ctrl-C and exit are the caller's, in its thread
            ending = exc
        finally:
            self._turns.pop(me, None)
            self._done.put((me, ending))

    def _next(self) -> Tenant | None:
        with self._lock:
            return None if self._ended else next(self.waiting, None)

    def _patience(self) -> float | None:
        """Seconds until somebody has to be looked at."""
        if self.timeout is None:
            return None
        ends = [
            turn.broken_off + GRACE if turn.broken_off else turn.started + self.timeout
            for turn in list(self._turns.values())
        ]
        now = time.monotonic()
        return max(0.0, min(ends, default=now + self.timeout) - now) + 0.001

    def _look_at_the_clock(self) -> Iterator[Outcome[T]]:
        now = time.monotonic()
        for thread, turn in list(self._turns.items()):
            if turn.broken_off and now - turn.broken_off >= GRACE:
                # It is inside something that no database can end. Another takes its place.
                self._threads.discard(thread)
                self._turns.pop(thread, None)
                yield _timed_out(turn, self.timeout)
                if not self._ended:
                    self._hire()
            elif self.timeout is not None and not turn.broken_off and now - turn.started >= self.timeout:
                turn.broken_off = now
                for connection in list(turn.frame.held.values()) if turn.frame else ():
                    connection.break_off()


def first_line(exc: BaseException) -> str:
    """An error in one line, for tables."""
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__
