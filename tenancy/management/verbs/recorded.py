"""Telling the audit trail what a command did to each of many tenants."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tenancy.audit.models import Outcome as Ending
from tenancy.audit.models import Severity
from tenancy.audit.trail import Facts, operator, try_to_record_each
from tenancy.fleet import Outcome, Result

#: What is called with each outcome.
Tell = Callable[[Outcome[Any]], None]

#: Events that wait to be written together, and seconds that they may. A fleet of thousands is a few
#: statements, and no heap of events; a command that is killed loses what it did in the last second.
_TOGETHER, _DELAY = 500, 1.0


@contextmanager
def recorded(action: str, target: str = "") -> Iterator[Tell]:
    """What is to be called with each outcome. All of them are written when the block ends, however it does;
    where there was none, nothing is asked of the control plane."""
    who = operator()
    waiting: list[Facts] = []
    written = time.monotonic()

    def write() -> None:
        nonlocal written
        facts, waiting[:] = list(waiting), []
        try_to_record_each(action, who, facts)
        written = time.monotonic()

    def tell(outcome: Outcome[Any]) -> None:
        if outcome.result is Result.SKIPPED:
            return  # nothing was done to it, and nothing tried
        waiting.append(_facts(outcome, target))
        if len(waiting) >= _TOGETHER or time.monotonic() - written > _DELAY:
            write()

    try:
        yield tell
    finally:
        write()


def _facts(outcome: Outcome[Any], target: str) -> Facts:
    facts: Facts = {"tenant_id": outcome.tenant.id, "target": target}
    if not outcome.is_ok:
        # In a word: what the error says may be about more than this tenant.
        facts |= {"outcome": Ending.FAILED, "severity": Severity.WARNING}
        facts["details"] = {"result": str(outcome.result)}
    return facts
