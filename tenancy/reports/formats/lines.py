"""JSON Lines: one for each row, then one for each total, and the coverage last."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tenancy.reports.collected import Collected
from tenancy.reports.columns import Column
from tenancy.reports.report import Row


def write(found: Collected, stream: Any, *, totals_only: bool = False) -> None:
    """Without its last line a file is known to be cut off."""
    if not totals_only:
        for tenant_id, row in found.rows():
            stream.write(line({"tenant": tenant_id, "row": plain(found.report.columns, row)}))
    coverage = found.coverage
    for row in found.totals.rows():
        stream.write(line({"total": plain(found.totals.columns, row), **coverage.share}))
    stream.write(line({"coverage": coverage.as_facts()}))


def plain(columns: Iterable[Column], row: Row) -> dict[str, Any]:
    return {column.name: column.plain(value) for column, value in zip(columns, row, strict=True)}


def line(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False) + "\n"
