"""Putting a report's question to many tenants, in this process's threads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from tenancy import live
from tenancy.fleet import Outcome, Result, run
from tenancy.registry import get_registry
from tenancy.reports.answer import Absent, Answer, Question
from tenancy.selection import Selection
from tenancy.tenant import Tenant

#: What may go better a moment later.
TRANSIENT = frozenset({Result.UNREACHABLE, Result.BUSY})
#: Seconds between a tenant's failure and its next try; twice as long before the one after it.
PAUSE = 1.0


@dataclass
class Job:
    """``jobs`` tenants at a time. Each has ``timeout`` seconds for each of its tries, and ``retries`` of them
    beyond the first, after all the others, for what is transient: nobody waits for it."""

    question: Question
    tenants: Sequence[Tenant]
    jobs: int = 8
    timeout: float | None = 300.0
    retries: int = 2

    def outcomes(self) -> Iterator[Outcome[Answer]]:
        """One for each tenant, as they come."""
        waiting = list(self.tenants)
        for attempt in range(self.retries + 1):
            again: list[Tenant] = []
            failed_at = 0.0
            for outcome in run(self.question.put_to, waiting, jobs=self.jobs, timeout=self.timeout):
                if outcome.result in TRANSIENT and attempt < self.retries:
                    again.append(outcome.tenant)
                    failed_at = time.monotonic()
                else:
                    yield settled(outcome)
            waiting = again
            if not waiting:
                break
            time.sleep(max(0.0, failed_at + PAUSE * 2**attempt - time.monotonic()))


def with_newcomers(outcomes: Iterable[Outcome[Answer]], selection: Selection) -> Iterator[Outcome[Answer]]:
    """The same; then, as skipped, who came to tenants.yaml meanwhile and would have been asked.

    Once for a run, whoever does the work: it looks at all tenants' ids.
    """
    before = frozenset(get_registry().ids)
    yield from outcomes
    live.refresh()
    registry = get_registry()
    for tenant_id in registry.ids - before:
        tenant = registry.get(tenant_id)
        if selection.takes(tenant):
            yield Outcome(tenant, Result.SKIPPED, error="added to tenants.yaml during the run")


def settled(outcome: Outcome[Answer | Absent]) -> Outcome[Answer]:
    """One who is absent for a reason is skipped."""
    if isinstance(outcome.value, Absent):
        return Outcome(outcome.tenant, Result.SKIPPED, outcome.seconds, error=outcome.value.reason)
    return cast(Outcome[Answer], outcome)
