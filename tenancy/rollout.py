"""Migrating the fleet: a few first, then the rest, a wave at a time, as long as it goes well."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import Error

from tenancy.backends.faults import Fault, classify
from tenancy.exceptions import TenancyError
from tenancy.fleet import Outcome, Result, first_line, is_out_of_time, run
from tenancy.tenant import Tenant
from tenancy.upgrade import Deferred, Upgrade, Upgraded

#: Seconds before busy tenants are tried again; longer each time.
PAUSE = 1.0


class Halted(TenancyError):
    """No other tenant is begun."""


class Gate:
    """Lets canaries through, and the rest when they are well.

    ``canaries`` is how many tenants with something to do have to go well first, or the ids of those that
    have to, whatever there is to do with them.
    """

    def __init__(self, canaries: int | Collection[str]) -> None:
        self._lock = threading.Lock()
        self._named = None if isinstance(canaries, int) else set(canaries)
        self._left = canaries if isinstance(canaries, int) else len(self._named or ())
        self._under_way: set[str] = set()
        #: Why nobody passes any more.
        self.reason = ""

    @contextmanager
    def passage(self, tenant_id: str) -> Iterator[None]:
        """Around a tenant's migration. Raises ``Halted``, and ``Deferred`` for one whose turn comes later."""
        is_canary = self._enter(tenant_id)
        try:
            yield
        except BaseException as exc:
            if is_canary:
                # Put off, it has not been tried.
                is_busy = _is_busy(exc) and not is_out_of_time()
                self._leave(tenant_id, is_well=False, is_over=not (is_busy or isinstance(exc, Deferred)))
            raise
        if is_canary:
            self._leave(tenant_id, is_well=True)

    def require_open(self) -> None:
        """Raise ``Halted`` when it is closed for good."""
        if self.reason:
            raise Halted(self.reason)

    def halt(self, reason: str) -> None:
        self.reason = self.reason or reason

    def is_up_to_date(self, tenant_id: str) -> None:
        """There was nothing to do."""
        with self._lock:
            if self._named is not None and tenant_id in self._named:
                self._named.discard(tenant_id)
                self._left -= 1

    def failed_before(self, tenant_id: str) -> None:
        """It could not even be asked, or was given up in the middle."""
        is_named = self._named is not None and tenant_id in self._named
        if is_named or tenant_id in self._under_way:
            self.halt(f"the canary {tenant_id} failed")

    def _enter(self, tenant_id: str) -> bool:
        with self._lock:
            self.require_open()
            if self._left <= 0:
                return False
            if self._named is not None:
                if tenant_id not in self._named:
                    raise Deferred
            elif len(self._under_way) >= self._left:
                raise Deferred
            self._under_way.add(tenant_id)
            return True

    def _leave(self, tenant_id: str, *, is_well: bool, is_over: bool = True) -> None:
        with self._lock:
            self._under_way.discard(tenant_id)
            if is_well:
                self._left -= 1
                if self._named is not None:
                    self._named.discard(tenant_id)
            elif is_over:
                self.halt(f"the canary {tenant_id} failed")


def _is_busy(exc: BaseException) -> bool:
    return isinstance(exc, Error) and classify(exc) is Fault.BUSY


@dataclass(frozen=True)
class _Later:
    """Its turn comes again; ``busy`` says what is waited for."""

    busy: str = ""


class _NotBegun:
    pass


@dataclass
class Rollout:
    """One migration of many tenants.

    ``canaries`` go first (see ``Gate``). With ``wave`` no tenant is begun before the wave of so many before
    it is over. When more than ``limit`` tenants failed, nobody else is begun. One whose database or tables
    are busy is tried again, ``retries`` times, after the others.
    """

    upgrade: Upgrade
    tenants: Sequence[Tenant]
    jobs: int = 1
    timeout: float | None = None
    canaries: int | Collection[str] = 0
    wave: int | None = None
    limit: int | None = None
    retries: int = 3
    gate: Gate = field(init=False)
    #: What ended while nobody took outcomes any more, after Ctrl-C.
    unreported: dict[str, Outcome[Upgraded]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.gate = Gate(self.canaries)
        if not isinstance(self.canaries, int):
            order = {tenant_id: place for place, tenant_id in enumerate(self.canaries)}
            self.tenants = sorted(self.tenants, key=lambda tenant: order.get(tenant.id, len(order)))
        self._failed = 0

    def outcomes(self) -> Iterator[Outcome[Upgraded]]:
        """As they come. Those that were not begun are skipped, with the reason."""
        size = self.wave or len(self.tenants) or 1
        for start in range(0, len(self.tenants), size):
            yield from self._finish(list(self.tenants[start : start + size]))

    def _finish(self, waiting: list[Tenant]) -> Iterator[Outcome[Upgraded]]:
        """All of a wave, in as many passes as it takes."""
        tries: dict[str, int] = {}
        while waiting:
            later: list[Tenant] = []
            busy: list[Tenant] = []
            for outcome in run(self._take, waiting, jobs=self.jobs, timeout=self.timeout):
                tenant, value = outcome.tenant, outcome.value
                self.unreported.pop(tenant.id, None)
                if isinstance(value, _Later) and not value.busy:
                    later.append(tenant)
                elif isinstance(value, _Later):
                    tries[tenant.id] = tries.get(tenant.id, 0) + 1
                    if tries[tenant.id] <= self.retries:
                        busy.append(tenant)
                    else:
                        self.gate.failed_before(tenant.id)
                        yield self._failure(Outcome(tenant, Result.BUSY, outcome.seconds, error=value.busy))
                elif isinstance(value, _NotBegun):
                    yield Outcome(tenant, Result.SKIPPED, error=f"not begun: {self.gate.reason}")
                elif isinstance(value, Upgraded):
                    yield Outcome(tenant, Result.OK, outcome.seconds, value)
                else:
                    self.gate.failed_before(tenant.id)
                    if outcome.result is Result.TIMED_OUT:
                        self.upgrade.wait_for_nobody()  # its thread may never say that it is done
                    # That a table is missing is no news here, and no migration mends it.
                    result = Result.FAILED if outcome.result is Result.BEHIND else outcome.result
                    yield self._failure(Outcome(tenant, result, outcome.seconds, error=outcome.error))
            if len(later) == len(waiting):
                time.sleep(PAUSE)  # all of them wait for somebody who is not among them
            elif busy and not later:
                time.sleep(PAUSE * max(tries[tenant.id] for tenant in busy))
            waiting = later + busy

    def _failure(self, outcome: Outcome[Upgraded]) -> Outcome[Upgraded]:
        self._failed += 1
        if self.limit is not None and self._failed > self.limit:
            self.gate.halt(f"{self._failed} failed")
        return outcome

    def _take(self, tenant: Tenant) -> Upgraded | _Later | _NotBegun:
        """In a thread of the fleet's, in the tenant's context."""
        started = time.monotonic()
        try:
            self.gate.require_open()
            done = self.upgrade.carry_out(tenant.id, lambda: self.gate.passage(tenant.id))
        except Halted:
            return _NotBegun()
        except Deferred:
            return _Later()
        except Error as exc:
            if _is_busy(exc) and not is_out_of_time():
                return _Later(first_line(exc))
            self._remember(Outcome(tenant, Result.FAILED, time.monotonic() - started, error=first_line(exc)))
            raise
        self.gate.is_up_to_date(tenant.id)
        self._remember(Outcome(tenant, Result.OK, time.monotonic() - started, done))
        return done

    def _remember(self, outcome: Outcome[Upgraded]) -> None:
        self.unreported[outcome.tenant.id] = outcome
