"""Telling the audit trail what a command did to each of many tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tenancy.audit.models import Outcome as Ending
from tenancy.audit.models import Severity
from tenancy.audit.trail import operator, try_to_record_each
from tenancy.fleet import Outcome, Result

#: What is called with each outcome.
Tell = Callable[[Outcome[Any]], None]

#: Events that wait to be written together. A fleet of thousands is a few statements, and no heap of events.
_TOGETHER = 500


@contextmanager
def recorded(action: str, target: str = "") -> Iterator[Tell]:
    """What is to be called with each outcome. All of them are written when the block ends, however it does;
    where there was none, nothing is asked of the control plane."""
    who = operator()
    waiting: list[dict[str, Any]] = []

    def write() -> None:
        facts, waiting[:] = list(waiting), []
        try_to_record_each(action, who, facts)

    def tell(outcome: Outcome[Any]) -> None:
        if outcome.result is Result.SKIPPED:
            return  # nothing was done to it, and nothing tried
        waiting.append(_facts(outcome, target))
        if len(waiting) >= _TOGETHER:
            write()

    try:
        yield tell
    finally:
        write()


def _facts(outcome: Outcome[Any], target: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"tenant_id": outcome.tenant.id, "target": target}
    if not outcome.is_ok:
        # In a word: what the error says may be about more than this tenant.
        facts |= {"outcome": Ending.FAILED, "severity": Severity.WARNING}
        facts["details"] = {"result": str(outcome.result)}
    return facts
