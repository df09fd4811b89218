"""What the guards cost a query that is allowed.

``make bench-guards``. The same rows of one SQLite file are read through Freehold (router, tenant model,
guarded connection) and through plain Django (a router that returns an alias, a plain model, Django's own
backend), each in processes of its own, in turn. The figure is the median of the rounds' differences.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.instrument import Estimate, Variant, answer, in_turn
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import ROOT, Stage
from benchmarks.writer import as_rich

#: Pairs of processes, and rounds with each: where a process lies in memory makes a difference of its own.
PAIRS, ROUNDS = 6, 40
#: Calls in one timing.
CALLS = 40
#: Microseconds a query may cost more.
GOAL = 5.0

CASES = ("a row by its key", "count", "20 rows", "a filter", "a statement by cursor")


class PlainRouter:
    """The obvious router: one alias, no questions."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "plain"

    db_for_write = db_for_read


def configure(folder: Path) -> None:
    """Settings with a tenant in a file, and the same file under a stock alias."""
    (folder / "tenants.yaml").write_text(
        "version: 1\ntenants:\n  acme: {name: Acme, url: 'sqlite:///acme.sqlite3'}\n"
    )
    os.environ |= {"DEBUG": "1", "TENANTS_FILE": str(folder / "tenants.yaml")}
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    import django
    from django.conf import settings

    settings.DEBUG = False  # which would keep every query in a list
    settings.DATABASES["plain"] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / "acme.sqlite3"),
        "OPTIONS": dict(settings.DATABASES["acme"].get("OPTIONS", {})),
    }
    django.setup()


def prepare(folder: Path) -> None:
    """A tenant with 20 products."""
    configure(folder)
    from django.core.management import call_command

    from catalog.models import Category, Product
    from tenancy.context import tenant_context

    call_command("migrate", database="acme", verbosity=0)
    with tenant_context("acme"):
        category = Category.objects.create(name="Tools")
        for number in range(20):
            Product.objects.create(
                sku=str(number), name=f"Product {number}", category=category, price=number, currency="EUR"
            )


def run_variant(name: str, folder: Path) -> None:
    configure(folder)
    from django.db import models, router

    from catalog.models import Category, Product
    from tenancy.context import tenant_context

    if name == "plain":
        router.routers = [PlainRouter()]
        parent = models.UUIDField(db_column="parent_id", null=True)
        category = plain_model(Category, {"parent": parent})
        field = models.ForeignKey(category, models.PROTECT, related_name="+")
        answer(cases("plain", plain_model(Product, {"category": field})))
    else:
        with tenant_context("acme"):
            answer(cases("acme", Product))


def cases(alias: str, model: Any) -> dict[str, Callable[[], Any]]:
    from django.db import connections

    key = model.objects.first().pk

    def execute() -> Any:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT name FROM catalog_product WHERE sku = '7'")
            return cursor.fetchone()

    calls = (
        lambda: model.objects.get(pk=key),
        lambda: model.objects.count(),
        lambda: list(model.objects.all()),
        lambda: model.objects.filter(stock__gte=0, is_active=True).exists(),
        execute,
    )
    return dict(zip(CASES, calls, strict=True))


def plain_model(model: Any, relations: dict[str, Any]) -> Any:
    """A model of plain Django for the same table: the same fields in the same order."""
    from django.db import models

    fields = {field.name: relations.get(field.name) or field.clone() for field in model._meta.local_fields}
    meta = {
        "app_label": "plain",
        "managed": False,
        "db_table": model._meta.db_table,
        "ordering": model._meta.ordering,
    }
    members = {"__module__": __name__, "Meta": type("Meta", (), meta)}
    return type(f"Plain{model.__name__}", (models.Model,), fields | members)


def compare(folder: Path, say: Callable[[str, int], None]) -> dict[str, dict[str, float]]:
    """Microseconds of processor time: what plain Django takes, and what we take more."""
    plain: dict[str, list[float]] = {case: [] for case in CASES}
    more: dict[str, list[float]] = {case: [] for case in CASES}
    for pair in range(PAIRS):
        with (
            Variant("ours", ["benchmarks.guards", "ours", str(folder)]) as ours,
            Variant("plain", ["benchmarks.guards", "plain", str(folder)]) as theirs,
        ):
            for case in CASES:
                found = in_turn((ours, theirs), case, ROUNDS, CALLS, lambda _: None)
                plain[case] += [timing.processor for timing in found["plain"]]
                more[case] += [
                    mine.processor - other.processor
                    for mine, other in zip(found["ours"], found["plain"], strict=True)
                ]
                say(case, pair + 1)
    return {
        case: {"plain": statistics.median(plain[case]), **vars(Estimate.of(more[case]))} for case in CASES
    }


def run(stage: Stage, reporter: Reporter) -> Result:
    """The part of a run of all benchmarks. Needs nothing of the stage."""
    reporter.begin("Guards", PAIRS)
    # In a process of its own: it sets Django up.
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.guards", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    reporter.step(PAIRS)
    figures = json.loads(found.stdout)
    table = as_table(figures)
    goals = [
        Goal(f"guards: {name}", f"≤ {GOAL:g} µs", f"{row['median']:.1f} µs", row["low"] <= GOAL)
        for name, row in figures.items()
    ]
    return Result("guards", figures, [table], goals)


def as_table(figures: dict[str, dict[str, float]]) -> Table:
    table = Table(
        f"Microseconds a call; {PAIRS} x {ROUNDS} rounds of {CALLS} calls, in turn",
        ("query", "plain Django", "guards cost", "95 % interval"),
    )
    for name, row in figures.items():
        interval = f"{row['low']:.1f} to {row['high']:.1f}"
        table.add(name, f"{row['plain']:.0f}", f"{row['median']:.1f}", interval)
    return table


def main(folder: Path) -> int:
    """Exits 1 when a query that is allowed costs more than the goal."""
    from rich.console import Console

    prepare(folder)
    with Reporter() as reporter:
        reporter.begin(f"{PAIRS} pairs of processes", PAIRS)

        def say(case: str, done: int) -> None:
            if case == CASES[-1]:
                reporter.step()

        found = compare(folder, say)
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(found))
    else:
        Console(highlight=False).print(as_rich(as_table(found)))
    return int(any(row["low"] > GOAL for row in found.values()))


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["plain"]):
        run_variant(sys.argv[1], Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as name:
            sys.exit(main(Path(name)))
