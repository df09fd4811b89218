from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.table import Table
from rich.text import Text

from catalog.reports import InventoryRow, inventory, total
from tenancy.console import print_table
from tenancy.fleet import Outcome, Result, run_each

REPORTS = {"inventory": inventory}
COLUMNS = ("tenant", "currency", "products", "stock", "value")

Outcomes = list[Outcome[list[InventoryRow]]]


class Command(BaseCommand):
    help = "Runs a report over every tenant. Exits 1 when a tenant could not be asked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(REPORTS), help="Which report.")
        parser.add_argument("--format", choices=("table", "csv", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        report = REPORTS[options["name"]]
        outcomes = run_each(lambda _: report())
        {"table": self.as_table, "csv": self.as_csv, "json": self.as_json}[options["format"]](outcomes)
        answered = [outcome for outcome in outcomes if outcome.result is Result.OK]
        absent = [outcome for outcome in outcomes if outcome.result is not Result.OK]
        if absent:
            self.stderr.write(f"{len(answered)} of {len(outcomes)} tenants answered; the totals are partial.")
        for outcome in absent:
            self.stderr.write(f"{outcome.result}: {outcome.tenant.id}: {outcome.error}")
        if any(outcome.result is not Result.SKIPPED for outcome in absent):
            sys.exit(1)

    def as_table(self, outcomes: Outcomes) -> None:
        table = Table(box=None, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column, justify="left" if column in ("tenant", "currency") else "right")
        for outcome in outcomes:
            if outcome.result is not Result.OK:
                table.add_row(outcome.tenant.id, Text(str(outcome.result), style="bold red"))
            elif not outcome.value:
                table.add_row(outcome.tenant.id, "none", "0", "0")
            for row in outcome.value or ():
                table.add_row(outcome.tenant.id, *_cells(row))
        table.add_section()
        for row in total(_rows(outcomes)):
            table.add_row("total", *_cells(row), style="bold")
        print_table(self.stdout, table)

    def as_csv(self, outcomes: Outcomes) -> None:
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        for outcome in outcomes:
            for row in outcome.value or ():
                writer.writerow([outcome.tenant.id, *asdict(row).values()])

    def as_json(self, outcomes: Outcomes) -> None:
        tenants = [
            {
                "tenant": outcome.tenant.id,
                "result": outcome.result,
                "error": outcome.error,
                "seconds": round(outcome.seconds, 4),
                "rows": [asdict(row) for row in outcome.value or ()],
            }
            for outcome in outcomes
        ]
        totals = [asdict(row) for row in total(_rows(outcomes))]
        complete = all(outcome.result is Result.OK for outcome in outcomes)
        document = {"complete": complete, "tenants": tenants, "totals": totals}
        self.stdout.write(json.dumps(document, default=str, indent=2))


def _rows(outcomes: Outcomes) -> list[InventoryRow]:
    return [row for outcome in outcomes for row in outcome.value or ()]


def _cells(row: InventoryRow) -> list[str]:
    return [row.currency, f"{row.products:,}", f"{row.stock:,}", f"{row.value:,.2f}"]
