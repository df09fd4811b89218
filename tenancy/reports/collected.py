"""What a report found: rows, totals and coverage."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tenancy.fleet import Outcome
from tenancy.reports.answer import Answer
from tenancy.reports.columns import Column
from tenancy.reports.coverage import Coverage, covered
from tenancy.reports.report import Report, Row
from tenancy.reports.spool import Spool
from tenancy.reports.totals import Totals


@dataclass
class Collected:
    """Filled tenant by tenant; complete when its block of ``collecting`` has added the last.

    Every number of ``totals`` is the merge of exactly the rows in ``spool``: both are of the tenants that
    answered, each once.
    """

    report: Report
    #: As they were given, for whoever reads the result.
    parameters: Mapping[str, Any]
    spool: Spool
    totals: Totals
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    coverage: Coverage = field(default_factory=lambda: Coverage(()))

    def add(self, outcome: Outcome[Answer]) -> Outcome[None]:
        """Take a tenant's rows over, and return how it went, without them."""
        if outcome.value is not None:
            self.spool.put(outcome.tenant.id, outcome.value.rows)
            self.totals.combine(outcome.value.totals)
        return replace(outcome, value=None)  # type: ignore[return-value]  # of another type now

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every tenant's, in the order of tenants.yaml."""
        for outcome in self.coverage.outcomes:
            for row in self.spool.rows(outcome.tenant.id):
                yield outcome.tenant.id, row

    def totals_of(self, tenant_id: str, by: Collection[Column]) -> Totals:
        """One tenant's rows, merged by these keys."""
        found = Totals(self.report, by)
        found.add(self.spool.rows(tenant_id))
        return found


@contextmanager
def collecting(
    report: Report, parameters: Mapping[str, Any], outcomes: Iterable[Outcome[Answer]], order: Iterable[str]
) -> Iterator[Collected]:
    """Take all outcomes, and give the block what was found. ``order`` are the ids of tenants.yaml."""
    with Spool() as spool:
        found = Collected(report, parameters, spool, Totals(report))
        seen = [found.add(outcome) for outcome in outcomes]
        found.coverage = covered(seen, order)
        yield found
