"""A table to read: every tenant's rows, and what they merge to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from tenancy.console import print_table
from tenancy.reports.collected import Collected
from tenancy.reports.columns import Column

#: Rows in a table whose columns are fitted together; the next ones get another.
TOGETHER = 5000


def write(found: Collected, stream: Any, *, totals_only: bool = False) -> None:
    columns = found.report.columns
    table = _table(columns)
    if not totals_only:
        for place, cells in enumerate(_rows(found)):
            if place and place % TOGETHER == 0:
                print_table(stream, table)
                table = _table(columns)
            table.add_row(*cells)
        table.add_section()
    for row in found.totals.rows():
        merged = dict(zip(found.totals.columns, row, strict=True))
        shown = (_merged(column, merged[column]) if column in merged else "" for column in columns)
        table.add_row(found.coverage.total_name, *map(Text, shown), style="bold")
    print_table(stream, table)


def _table(columns: tuple[Column, ...]) -> Table:
    table = Table("tenant", box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.name, justify="right" if column.kind in (int, float) or column.is_number else "left"
        )
    return table


def _rows(found: Collected) -> Iterator[list[Text]]:
    columns = found.report.columns
    for outcome in found.coverage.outcomes:
        tenant = Text(outcome.tenant.id)
        if not outcome.is_ok:
            yield [tenant, Text(str(outcome.result), style="bold red")]
        elif not found.spool.count(outcome.tenant.id):
            yield [tenant, Text("none")]
        for row in found.spool.rows(outcome.tenant.id):
            yield [tenant, *(Text(column.shown(value)) for column, value in zip(columns, row, strict=True))]


def _merged(column: Column, value: Any) -> str:
    unit = column.merge.unit if column.merge is not None else ""
    return f"{column.shown(value)} {unit}" if unit else column.shown(value)
