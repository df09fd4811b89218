"""Whom a report asked, and who did not answer: a part of every result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tenancy.fleet import Outcome, Result


@dataclass(frozen=True)
class Coverage:
    """How each tenant's turn went, in the order of tenants.yaml, without its rows.

    ``known`` is how many tenants there are: more than the report is about where some were chosen.
    """

    outcomes: tuple[Outcome[Any], ...]
    known: int = 0

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
        """Whether the totals are those of every tenant that the report is about."""
        return self.answered == self.tenants

    @property
    def is_of_all(self) -> bool:
        """Whether that is every tenant there is."""
        return self.tenants >= self.known

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
        whole = {"known": self.known, "tenants": self.tenants, "asked": self.asked}
        return {**whole, "answered": self.answered, **counts}

    @property
    def share(self) -> dict[str, int]:
        """Beside a total: whose it is."""
        return {"answered": self.answered, "tenants": self.tenants, "known": self.known}

    @property
    def total_name(self) -> str:
        """What a total is called: a part is not called the total."""
        if not self.is_complete:
            return f"{self.answered:,} of {self.tenants:,}"
        return "total" if self.is_of_all else f"{self.tenants:,} chosen"

    @property
    def summary(self) -> str:
        """In one line."""
        if not self.tenants:
            return "There are no tenants."
        if not self.is_complete:
            chosen = "" if self.is_of_all else " chosen"
            return f"{self.answered:,} of {self.tenants:,}{chosen} tenants answered; the totals are partial."
        if not self.is_of_all:
            return f"{self.tenants:,} of {self.known:,} tenants were chosen, and all of them answered."
        return f"All {self.tenants:,} tenants answered." if self.tenants > 1 else "The one tenant answered."

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
    found = sorted(outcomes, key=lambda outcome: places.get(outcome.tenant.id, len(places)))
    known = places.keys() | {outcome.tenant.id for outcome in found}
    return Coverage(tuple(found), len(known))
