"""CSV: a line for each row of each tenant. Totals are not among them, for whoever adds up a column."""

from __future__ import annotations

import csv
from typing import Any

from tenancy.reports.collected import Collected


def write(found: Collected, stream: Any, *, totals_only: bool = False) -> None:
    """The last column says how the tenant's turn went; an absent one has a line with nothing else, so that no
    part can be taken for the whole."""
    writer = csv.writer(stream, lineterminator="\n")
    if totals_only:
        columns = found.totals.columns
        share = found.coverage.share
        writer.writerow([*(column.name for column in columns), *share])
        coverage = share.values()
        rows = found.totals.rows()
        for row in rows:
            writer.writerow([*map(_cell, columns, row), *coverage])
        if not rows:
            writer.writerow([*[""] * len(columns), *coverage])
        return
    columns = found.report.columns
    writer.writerow(["tenant", *(column.name for column in columns), "result"])
    for outcome in found.coverage.outcomes:
        if not outcome.is_ok:
            writer.writerow([outcome.tenant.id, *[""] * len(columns), str(outcome.result)])
        for row in found.spool.rows(outcome.tenant.id):
            writer.writerow([outcome.tenant.id, *map(_cell, columns, row), "ok"])


def _cell(column: Any, value: Any) -> Any:
    plain = column.plain(value)
    if isinstance(plain, str) and column.kind is str and plain.startswith(_FORMULAE):
        return f"'{plain}"
    return plain


#: With one of these a spreadsheet takes a text for a formula, which may send a row elsewhere
#: (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULAE = ("=", "+", "-", "@", "\t", "\r")
