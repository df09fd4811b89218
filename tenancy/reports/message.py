"""A question and its answers as messages between processes: plain JSON."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tenancy.fleet import Outcome, Result
from tenancy.reports.answer import Answer
from tenancy.reports.columns import Column
from tenancy.reports.report import Report, Row
from tenancy.reports.totals import Totals
from tenancy.tenant import Tenant


def pack(report: Report, outcome: Outcome[Answer]) -> dict[str, Any]:
    """One tenant's turn, with its rows, and what their values are."""
    return {
        "columns": _columns(report),
        "tenant": outcome.tenant.id,
        "result": str(outcome.result),
        "seconds": outcome.seconds,
        "error": outcome.error,
        "rows": None if outcome.value is None else [list(map(_packed, row)) for row in outcome.value.rows],
    }


def unpack(report: Report, tenant: Tenant, facts: dict[str, Any]) -> Outcome[Answer]:
    """The same again, on the other side, where totals are worked out. Raises ``ValueError`` for what is
    another tenant's, or of another version of the report."""
    if facts["tenant"] != tenant.id:
        raise ValueError("an answer of another tenant than was asked")
    if facts["columns"] != _columns(report):
        raise ValueError("the worker has another version of the report, with other columns")
    value = None
    if facts["rows"] is not None:
        rows = [_row(report.columns, row) for row in facts["rows"]]
        totals = Totals(report)
        totals.add(rows)
        value = Answer(rows, totals)
    return Outcome(tenant, Result(facts["result"]), float(facts["seconds"]), value, str(facts["error"]))


def _columns(report: Report) -> list[list[Any]]:
    return [
        [column.name, column.kind.__name__, column.places, column.key, str(column.merge)]
        for column in report.columns
    ]


def _packed(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(map(_packed, value))
    if isinstance(value, datetime.date):  # and a datetime, which is one
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _row(columns: Iterable[Column], row: list[Any]) -> Row:
    return tuple(_unpacked(column.kind, value) for column, value in zip(columns, row, strict=True))


def _unpacked(kind: type, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_unpacked(kind, one) for one in value)
    if value is None:
        return None
    if kind is Decimal:
        return Decimal(value)
    if issubclass(kind, datetime.date):
        return kind.fromisoformat(value)
    return float(value) if kind is float else value
