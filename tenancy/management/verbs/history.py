from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Count, Q, QuerySet
from rich.table import Table
from rich.text import Text

from tenancy.console import print_table
from tenancy.fleet import Result
from tenancy.ledger.models import Entry, Run
from tenancy.management.verbs.verb import Verb, count

_SHORT = 8


class History(Verb):
    name = "history"
    help = "Show the runs over the fleet, or what became of some tenants in them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenants", nargs="*", metavar="TENANT", help="Ids; what was done to these.")
        parser.add_argument("--run", metavar="ID", help="What one run did; the start of its id is enough.")
        parser.add_argument("--failed", action="store_true", help="Only what did not go well.")
        parser.add_argument("--limit", type=count, default=20, help="The newest so many (%(default)s).")
        parser.add_argument("--json", action="store_true", help="For machines, a line each.")

    def handle(self, **options: Any) -> None:
        if options["tenants"] or options["run"]:
            self._entries(_entries(options), as_json=options["json"])
        else:
            runs = Run.objects.annotate(
                done=Count("entries"), failed=Count("entries", filter=~Q(entries__result=Result.OK))
            ).order_by("-started_at")
            if options["failed"]:
                runs = runs.exclude(outcome__in=[Run.Outcome.OK, Run.Outcome.RUNNING])
            self._runs(runs[: options["limit"]], as_json=options["json"])

    def _runs(self, runs: Iterable[Any], *, as_json: bool) -> None:
        table = Table(
            "run",
            "what",
            "started (UTC)",
            "by",
            "tenants",
            "done",
            "failed",
            "outcome",
            box=None,
            pad_edge=False,
        )
        for run in runs:
            if as_json:
                self.stdout.write(json.dumps(_run_facts(run)))
                continue
            table.add_row(
                str(run.id)[:_SHORT],
                Text(f"{run.kind} {run.target}".strip()),
                f"{run.started_at:%Y-%m-%d %H:%M:%S}",
                Text(f"{run.user}@{run.host}"),
                f"{run.tenants:,}",
                f"{run.done - run.failed:,}",
                f"{run.failed:,}",
                run.outcome,
            )
        self._print(table, as_json=as_json)

    def _entries(self, entries: Iterable[Entry], *, as_json: bool) -> None:
        table = _table("run", "tenant", "ended (UTC)", "result", "way", "before", "after", "seconds", "error")
        for entry in entries:
            if as_json:
                self.stdout.write(json.dumps(_entry_facts(entry)))
                continue
            table.add_row(
                str(entry.run_id)[:_SHORT],
                entry.tenant_id,
                f"{entry.ended_at:%Y-%m-%d %H:%M:%S}",
                entry.result,
                entry.way,
                Text(entry.before),
                Text(entry.after),
                f"{entry.seconds:.2f}",
                Text(entry.error),
            )
        self._print(table, as_json=as_json)

    def _print(self, table: Table, *, as_json: bool) -> None:
        if as_json:
            return
        if table.row_count:
            print_table(self.stdout, table)
        else:
            self.stdout.write("Nothing yet.")


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False)


def _entries(options: dict[str, Any]) -> QuerySet[Entry]:
    entries = Entry.objects.order_by("-id")
    if options["run"]:
        entries = entries.filter(run=_run(options["run"]))
    if options["tenants"]:
        entries = entries.filter(tenant_id__in=options["tenants"])
    if options["failed"]:
        entries = entries.exclude(result=Result.OK)
    return entries[: options["limit"]]


def _run(start: str) -> Run:
    # SQLite keeps an id as 32 digits, PostgreSQL shows it with dashes: compared here.
    wanted = start.replace("-", "").lower()
    found = [run for run in Run.objects.order_by("-started_at")[:1000] if run.id.hex.startswith(wanted)]
    if len(found) != 1:
        raise CommandError(
            f"{len(found)} runs have an id that begins with '{start}'; `tenants history` lists them."
        )
    return found[0]


def _run_facts(run: Any) -> dict[str, Any]:
    return {
        "run": str(run.id),
        "kind": run.kind,
        "target": run.target,
        "user": run.user,
        "host": run.host,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "tenants": run.tenants,
        "done": run.done - run.failed,
        "failed": run.failed,
        "outcome": run.outcome,
    }


def _entry_facts(entry: Entry) -> dict[str, Any]:
    return {
        "run": str(entry.run_id),
        "tenant": entry.tenant_id,
        "ended_at": entry.ended_at.isoformat(),
        "result": entry.result,
        "way": entry.way,
        "before": entry.before,
        "after": entry.after,
        "seconds": round(entry.seconds, 4),
        "error": entry.error,
    }
