"""What the guards cost a query that is allowed.

``make bench-guards``. The same rows of one SQLite file are read through Freehold (router, tenant model,
guarded connection) and through plain Django (a router that returns an alias, a plain model, Django's own
backend). The two are timed in turn, many rounds in one run, and the figure is the median of the differences:
on a machine with other things to do a single timing says nothing, and a round's pair has met one weather.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 300
#: Calls in one timing.
CALLS = 40
#: Microseconds a query may cost more.
GOAL = 5.0


class PlainRouter:
    """The obvious router: one alias, no questions."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "plain"

    db_for_write = db_for_read


def prepare(folder: Path) -> None:
    """Settings, a tenant with 20 products in a file, and the same file under a stock alias."""
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
    from django.core.management import call_command

    call_command("migrate", database="acme", verbosity=0)


def variants() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Each query, as Freehold runs it and as plain Django does."""
    from django.db import connections, models

    from catalog.models import Category, Product
    from tenancy.context import tenant_context

    with tenant_context("acme"):
        category = Category.objects.create(name="Tools")
        for number in range(20):
            Product.objects.create(
                sku=str(number), name=f"Product {number}", category=category, price=number, currency="EUR"
            )
        key = Product.objects.first().pk

    parent = models.UUIDField(db_column="parent_id", null=True)
    plain_category = plain_model(models.Model, Category, {"parent": parent})
    category_field = models.ForeignKey(plain_category, models.PROTECT, related_name="+")
    plain: Any = plain_model(models.Model, Product, {"category": category_field})

    def execute(alias: str) -> Any:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT name FROM catalog_product WHERE sku = '7'")
            return cursor.fetchone()

    return {
        "a row by its key": (lambda: Product.objects.get(pk=key), lambda: plain.objects.get(pk=key)),
        "count": (Product.objects.count, plain.objects.count),
        "20 rows": (lambda: list(Product.objects.all()), lambda: list(plain.objects.all())),
        "a filter": (
            lambda: Product.objects.filter(stock__gte=0, is_active=True).exists(),
            lambda: plain.objects.filter(stock__gte=0, is_active=True).exists(),
        ),
        "a statement by cursor": (lambda: execute("acme"), lambda: execute("plain")),
    }


def plain_model(base: Any, model: Any, relations: dict[str, Any]) -> Any:
    """A model of plain Django for the same table: the same fields in the same order."""
    fields = {field.name: relations.get(field.name) or field.clone() for field in model._meta.local_fields}
    meta = {
        "app_label": "plain",
        "managed": False,
        "db_table": model._meta.db_table,
        "ordering": model._meta.ordering,
    }
    members = {"__module__": __name__, "Meta": type("Meta", (), meta)}
    return type(f"Plain{model.__name__}", (base,), fields | members)


def timed(asked: Any, call: Callable[[], Any]) -> float:
    """Microseconds a call, of this process' own time, with one router."""
    from django.db import router

    router.routers = [asked]
    for _ in range(5):
        call()
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - started) / CALLS * 1e6


def compare(
    ours: Callable[[], Any], theirs: Callable[[], Any], say: Callable[[int], None]
) -> dict[str, float]:
    from tenancy.routers import TenantRouter

    differences, plain = [], []
    pair = (TenantRouter(), ours), (PlainRouter(), theirs)
    for number in range(ROUNDS):
        # Who is first changes, for the second finds warmer caches.
        if number % 2:
            first, second = (timed(*one) for one in pair)
        else:
            second, first = (timed(*one) for one in reversed(pair))
        differences.append(first - second)
        plain.append(second)
        say(number)
    low, high = interval(differences)
    return {
        "plain": statistics.median(plain),
        "more": statistics.median(differences),
        "low": low,
        "high": high,
    }


def interval(values: list[float]) -> tuple[float, float]:
    """Of the median, at 95 %, by resampling."""
    dice = random.Random(1)  # noqa: S311
    medians = sorted(statistics.median(dice.choices(values, k=len(values))) for _ in range(1000))
    return medians[25], medians[974]


def main() -> int:
    """Exits 1 when a query that is allowed costs more than the goal."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from tenancy.context import tenant_context

    console = Console()
    found = {}
    with Progress(console=console, disable=not console.is_terminal) as progress, tenant_context("acme"):
        for name, (ours, theirs) in variants().items():
            task = progress.add_task(name, total=ROUNDS)
            found[name] = compare(
                ours, theirs, lambda number, task=task: progress.update(task, completed=number + 1)
            )
            if not console.is_terminal:
                console.print(f"{name}: {found[name]['more']:.1f} µs more")
    if "--json" in sys.argv:
        console.print_json(json.dumps(found))
    else:
        table = Table(
            title=f"Microseconds a call; {ROUNDS} rounds of {CALLS} calls, in turn",
            title_justify="left",
            box=None,
        )
        table.add_column("query")
        for title in ("plain Django", "guards cost", "95 % interval"):
            table.add_column(title, justify="right")
        for name, row in found.items():
            table.add_row(
                name, f"{row['plain']:.0f}", f"{row['more']:.1f}", f"{row['low']:.1f} to {row['high']:.1f}"
            )
        console.print(table)
    return int(any(row["low"] > GOAL for row in found.values()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        sys.exit(main())
