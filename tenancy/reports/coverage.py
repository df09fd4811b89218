"""Whom a report asked, and who did not answer: a part of every result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tenancy.fleet import Outcome, Result


@dataclass(frozen=True)
class Coverage:
    """How each tenant's turn went, in the order of tenants.yaml, without its rows."""

    outcomes: tuple[Outcome[Any], ...]

    @property
    def tenants(self) -> int:
        """How many the report is about."""
        return len(self.outcomes)

    @property
    def asked(self) -> int:
        """How many of them were asked: not those that were skipped."""
        return self.tenants - len(self.named(Result.SKIPPED))

    @property
    def answered(self) -> int:
        return len(self.named(Result.OK))

    @property
    def is_complete(self) -> bool:
        """Whether the totals are those of every tenant."""
        return self.answered == self.tenants

    @property
    def is_well(self) -> bool:
        """Whether everybody answered who was asked: skipped ones, which are known to be, do no harm."""
        return self.answered == self.asked

    @property
    def absent(self) -> list[Outcome[Any]]:
        return [outcome for outcome in self.outcomes if not outcome.is_ok]

    def named(self, result: Result) -> list[str]:
        return [outcome.tenant.id for outcome in self.outcomes if outcome.result is result]

    @property
    def counts(self) -> dict[str, int]:
        """For machines: every result that there is, also where it is nobody's."""
        found = Counter(outcome.result for outcome in self.outcomes)
        counts = {str(result): found[result] for result in Result if result is not Result.OK}
        return {"tenants": self.tenants, "asked": self.asked, "answered": self.answered, **counts}

    @property
    def summary(self) -> str:
        """In one line."""
        if self.is_complete:
            return f"All {self.tenants:,} tenants answered." if self.tenants else "There are no tenants."
        return f"{self.answered:,} of {self.tenants:,} tenants answered; the totals are partial."

    def as_facts(self) -> dict[str, Any]:
        return {
            "complete": self.is_complete,
            **self.counts,
            "absent": [
                {"tenant": outcome.tenant.id, "result": str(outcome.result), "error": outcome.error}
                for outcome in self.absent
            ],
        }


def covered(outcomes: Iterable[Outcome[Any]], order: Iterable[str]) -> Coverage:
    """Of all outcomes, in the order of the tenants' ids."""
    places = {tenant_id: place for place, tenant_id in enumerate(order)}
    return Coverage(tuple(sorted(outcomes, key=lambda outcome: places.get(outcome.tenant.id, len(places)))))
