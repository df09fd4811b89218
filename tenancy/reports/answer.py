"""What one tenant answers to a report."""

from __future__ import annotations

import copy
from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import Error

from tenancy import live
from tenancy.backends.faults import Fault, classify
from tenancy.connections import reading
from tenancy.exceptions import TenancyError, TenantMigrating
from tenancy.fleet import first_line
from tenancy.registry import get_registry
from tenancy.reports.report import Report, Row
from tenancy.reports.totals import Totals
from tenancy.tenant import Status, Tenant


class ReportWrites(TenancyError):
    """The report's function tried to change something."""


class ReportBroken(TenancyError):
    """The report's SQL names what no tenant has."""


class ReportEnded(TenancyError):
    """The report's function tried to end more than itself."""


@dataclass(frozen=True)
class Answer:
    """All of one tenant's rows, and what they merge to."""

    rows: list[Row]
    totals: Totals


@dataclass(frozen=True)
class Absent:
    """The tenant was not asked, for a reason that is no fault."""

    reason: str


@dataclass(frozen=True)
class Question:
    """A report, with parameters that its ``clean`` made, as it is put to each tenant.

    ``limit`` is how many seconds a statement may take, and ``rows`` how many rows are taken.
    """

    report: Report
    parameters: Mapping[str, Any]
    limit: float = 300.0
    rows: int = 100_000
    from_replica: bool = True

    def put_to(self, tenant: Tenant) -> Answer | Absent:
        """Called in the tenant's context. One snapshot, on a connection that cannot write."""
        live.refresh()  # a run may take longer than tenants.yaml stays as it is
        registry = get_registry()
        if tenant.id not in registry:
            return Absent("removed from tenants.yaml during the run")
        current = registry.get(tenant.id)
        if current.status is Status.SUSPENDED:
            return Absent("suspended")
        try:
            with reading(current, limit=self.limit, from_replica=self.from_replica, snapshot=True):
                # A copy for each: a parameter may be a list, and what one leaves in it another would read.
                rows = self.report.ask(copy.deepcopy(dict(self.parameters)), self.rows)
        except (SystemExit, GeneratorExit, CancelledError) as exc:
            # The end of the run is not the report's to say.
            raise ReportEnded(f"the report raised {type(exc).__name__}") from exc
        except Error as exc:
            if classify(exc) is Fault.READ_ONLY:
                raise ReportWrites("a report reads, and cannot change anything") from exc
            if tenant.id not in get_registry():
                return Absent("removed from tenants.yaml during the run")
            if classify(exc) is Fault.MIGRATING and not isinstance(exc, TenantMigrating):
                # The handshake knows that the database is as the code is, so no migration would help.
                raise ReportBroken(f"what the report asks for is not there: {first_line(exc)}") from exc
            raise
        totals = Totals(self.report)
        totals.add(rows)
        return Answer(rows, totals)
