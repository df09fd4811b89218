from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.table import Table
from rich.text import Text

from tenancy.console import print_table
from tenancy.fleet import Outcome, Result
from tenancy.management.verbs.verb import FleetVerb, count
from tenancy.queries import Answer, QueryRefused, ask, require_one_statement


class Query(FleetVerb):
    name = "query"
    help = "Ask each tenant's database one SQL query, which cannot write."
    timeout = 10.0

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sql", metavar="SQL", help='As in "SELECT count(*) FROM catalog_product".')
        super().add_arguments(parser)
        parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
        parser.add_argument(
            "--limit", type=count, default=1000, help="Rows of each tenant (%(default)s); more are an error."
        )

    def handle(self, **options: Any) -> None:
        try:
            sql = require_one_statement(options["sql"])
        except QueryRefused as exc:
            raise CommandError(str(exc), returncode=2) from exc
        limit, seconds = options["limit"], options["timeout"]
        found: list[Outcome[Answer]] = []
        shown = {"table": self._as_table, "csv": self._as_csv, "json": self._as_json}[options["format"]]
        answers = self.each(lambda tenant: _whole(ask(tenant, sql, limit, seconds=seconds), limit), options)
        shown(_alike(answers, found))
        self.conclude(found)

    def _as_table(self, answers: Iterator[Outcome[Answer]]) -> None:
        table: Table | None = None
        for outcome in answers:
            answer = outcome.value or Answer((), [])
            if table is None:
                table = Table("tenant", *answer.columns, box=None, pad_edge=False)
            for row in answer.rows:
                # Text, not str: rich would read [brackets] in a value as markup.
                table.add_row(outcome.tenant.id, *(Text("" if cell is None else str(cell)) for cell in row))
        if table is not None:
            print_table(self.stdout, table)

    def _as_csv(self, answers: Iterator[Outcome[Answer]]) -> None:
        writer = csv.writer(self.stdout, lineterminator="\n")
        head: tuple[str, ...] | None = None
        for outcome in answers:
            answer = outcome.value or Answer((), [])
            if head is None:
                head = answer.columns
                writer.writerow(["tenant", *head])
            writer.writerows([outcome.tenant.id, *row] for row in answer.rows)

    def _as_json(self, answers: Iterator[Outcome[Answer]]) -> None:
        """A line for each row."""
        for outcome in answers:
            answer = outcome.value or Answer((), [])
            for row in answer.rows:
                facts = {"tenant": outcome.tenant.id, "row": dict(zip(answer.columns, row, strict=True))}
                self.stdout.write(json.dumps(facts, default=str, ensure_ascii=False))


def _whole(answer: Answer, limit: int) -> Answer:
    if answer.more:
        raise QueryRefused(f"more than {limit:,} rows; ask for fewer, or raise --limit")
    return answer


def _alike(outcomes: Iterator[Outcome[Answer]], found: list[Outcome[Answer]]) -> Iterator[Outcome[Answer]]:
    """Those with an answer of the same columns as the first has. Of all of them it is noted how they went,
    without the rows."""
    columns: tuple[str, ...] | None = None
    for outcome in outcomes:
        result, error = outcome.result, outcome.error
        if outcome.value is not None:
            columns = columns or outcome.value.columns
            if outcome.value.columns != columns:
                result, error = Result.FAILED, "its columns are others than the first tenant's"
        found.append(Outcome(outcome.tenant, result, outcome.seconds, None, error))
        if result is Result.OK:
            yield outcome
