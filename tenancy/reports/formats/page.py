"""A page of HTML that stands alone: coverage, totals, plots, and every tenant's rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from tenancy.fleet import Result
from tenancy.reports.collected import Collected
from tenancy.reports.columns import Column
from tenancy.reports.merges import Count, Sum
from tenancy.reports.plots import MOST_BARS, Bar, bars, histogram, share
from tenancy.reports.report import Row
from tenancy.reports.totals import Totals

#: Rows of tenants that a browser shows without effort; beyond them the page says where the rest is.
MOST_ROWS = 5000
#: Groups, such as currencies, that get plots of their own.
MOST_FACETS = 4
#: Tenants from which on their distribution is worth a look.
ENOUGH = 5
#: Where the template has the rows, which are not put together in memory.
_ROWS = "<!-- rows -->"


def write(found: Collected, stream: Any, *, totals_only: bool = False) -> None:
    rows = (
        0 if totals_only else sum(found.spool.count(outcome.tenant.id) for outcome in found.coverage.outcomes)
    )
    totals = found.totals.rows()
    page = render_to_string(
        "tenancy/report.html",
        {
            "report": found.report,
            "parameters": found.parameters,
            "started": found.started,
            "coverage": found.coverage,
            "share": _coverage(found),
            "plots": list(_plots(found, totals, totals_only=totals_only)),
            "columns": found.report.columns,
            "total_columns": found.totals.columns,
            "totals": [_cells(found.totals.columns, row, merged=True) for row in totals[:MOST_ROWS]],
            "more_totals": max(0, len(totals) - MOST_ROWS),
            "has_rows": rows > 0,
            "rows": min(rows, MOST_ROWS),
            "more_rows": max(0, rows - MOST_ROWS),
        },
    )
    before, mark, after = page.partition(_ROWS)
    stream.write(before)
    if mark:
        for row in _lines(found):
            stream.write(row)
    stream.write(after)


def _lines(found: Collected) -> Iterator[str]:
    left = MOST_ROWS
    for tenant_id, row in found.rows():
        if not left:
            return
        left -= 1
        yield format_html("<tr><th>{}</th>{}</tr>\n", tenant_id, _cells(found.report.columns, row))


def _cells(columns: Iterable[Column], row: Row, *, merged: bool = False) -> SafeString:
    return format_html_join(
        "",
        '<td class="{}">{}{}</td>',
        (
            (
                "number" if column.is_number else "",
                column.shown(value),
                f" {column.merge.unit}" if merged and column.merge is not None and column.merge.unit else "",
            )
            for column, value in zip(columns, row, strict=True)
        ),
    )


def _coverage(found: Collected) -> SafeString:
    counts = found.coverage.counts
    parts = [("answered", counts["answered"])]
    parts += [(result.replace("_", "-"), counts[result]) for result in Result if result is not Result.OK]
    return share(parts, "Tenants by how their turn went")


def _plots(found: Collected, totals: list[Row], *, totals_only: bool) -> Iterator[SafeString]:
    """For each value of the first key: by the other keys, by tenant, and how tenants are spread. With
    ``totals_only`` nothing that one tenant's numbers can be read from."""
    measure = _measure(found.report.columns)
    if measure is None or not found.coverage.answered:
        return
    first, *others = found.report.keys or (None,)
    by_facet: dict[Any, list[Bar]] = {}
    for outcome in found.coverage.outcomes:
        own = found.totals_of(outcome.tenant.id, by=[first] if first else [])
        for facet, value in _values(own, first, measure):
            by_facet.setdefault(facet, []).append(Bar(outcome.tenant.id, float(value), measure.shown(value)))
    # Those that most tenants have.
    facets = sorted(by_facet, key=lambda facet: (-len(by_facet[facet]), str(facet)))
    for facet in facets[:MOST_FACETS]:
        name = measure.name if first is None else f"{measure.name}, {first.name} {_shown(first, facet)}"
        if first is not None and others:
            groups = list(_groups(found.totals.columns, totals, first, facet, others, measure))
            by = f"by {_names(others)}"
            if len(groups) > MOST_BARS:
                by = f"{by}, the {MOST_BARS} largest of {len(groups):,}"
                groups.sort(key=lambda bar: -bar.value)
            yield bars(groups, f"{name}: {by}")
        if totals_only:
            continue
        tenants = sorted(by_facet[facet], key=lambda bar: -bar.value)
        is_cut = len(tenants) > MOST_BARS
        most = f"the {MOST_BARS} largest of {len(tenants):,} tenants" if is_cut else "by tenant"
        yield bars(tenants, f"{name}: {most}")
        if len(tenants) >= ENOUGH:
            yield histogram([bar.value for bar in tenants], f"{name}: how many tenants have how much")
    if len(facets) > MOST_FACETS:
        yield format_html("<p>{} more in the tables.</p>", len(facets) - MOST_FACETS)


def _measure(columns: Iterable[Column]) -> Column | None:
    """What is drawn: the last column that is added up."""
    added = [column for column in columns if isinstance(column.merge, Sum | Count)]
    return added[-1] if added else None


def _values(totals: Totals, key: Column | None, measure: Column) -> Iterator[tuple[Any, Any]]:
    for row in totals.rows():
        cells = dict(zip(totals.columns, row, strict=True))
        if cells[measure] is not None:
            yield (cells[key] if key else None), cells[measure]


def _groups(
    columns: Iterable[Column],
    totals: Iterable[Row],
    first: Column,
    facet: Any,
    others: Iterable[Column],
    measure: Column,
) -> Iterator[Bar]:
    for row in totals:
        cells = dict(zip(columns, row, strict=True))
        if cells[first] == facet and cells[measure] is not None:
            label = ", ".join(_shown(other, cells[other]) for other in others)
            yield Bar(label, float(cells[measure]), measure.shown(cells[measure]))


def _shown(column: Column, value: Any) -> str:
    return column.shown(value) or "none"


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns)
