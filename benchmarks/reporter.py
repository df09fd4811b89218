"""``python -m benchmarks.reporter WAY``: one way to ask every tenant the same, for ``benchmarks.reports``.

Each case takes the number of the first tenant and how many there are, and returns its seconds, what it found
in all, and what it held at most.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import django

from benchmarks.instrument import answer
from benchmarks.stage import crowd_id, crowd_place

#: Tenants at a time, in each way that can.
JOBS = 8

Found = dict[str, Any]
Case = Callable[[int, int], Found]


def _timed(work: Callable[[], dict[str, int]]) -> Found:
    begin = time.perf_counter()
    totals = work()
    return {"seconds": time.perf_counter() - begin, "totals": dict(sorted(totals.items()))}


def ours() -> dict[str, Case]:
    """A report, its rows kept and merged, and its coverage taken."""
    from tenancy.context import current_tenant
    from tenancy.fleet import each_tenant
    from tenancy.registry import get_registry
    from tenancy.reports.answer import Question
    from tenancy.reports.collected import collecting
    from tenancy.reports.job import Job
    from tenancy.reports.report import get_report

    report = get_report("inventory")

    def run(first: int, count: int) -> Found:
        tenants = [get_registry().get(crowd_id(number)) for number in range(first, first + count)]
        job = Job(Question(report, {}), tenants, jobs=JOBS)

        def work() -> dict[str, int]:
            with collecting(report, {}, job.outcomes(), [tenant.id for tenant in tenants]) as found:
                if not found.coverage.is_complete:
                    raise SystemExit(found.coverage.absent[0].error)
                return {row[0]: row[2] for row in found.totals.rows()}

        found = _timed(work)
        if current_tenant() is not None:
            raise SystemExit("A tenant was left in context.")
        return found

    def loop(first: int, count: int) -> Found:
        from catalog.reports import inventory

        wanted = {crowd_id(number) for number in range(first, first + count)}

        def work() -> dict[str, int]:
            totals: dict[str, int] = defaultdict(int)
            for tenant in each_tenant():
                if tenant.id in wanted:
                    for row in inventory():
                        totals[row["currency"]] += row["pieces"]
            return totals

        return _timed(work)

    return {"report": run, "loop": loop}


def bare() -> dict[str, Case]:
    """psycopg2, as many threads, the same SELECTs, and nothing else; or only the one that counts products."""
    import psycopg2

    where = {"host": os.environ["BENCH_HOST"]}
    if port := os.environ.get("BENCH_PORT"):
        where = {"host": "127.0.0.1", "port": port}
    sql = (
        "SELECT currency, count(id), sum(stock), sum(price * stock) FROM catalog_product"
        " GROUP BY currency ORDER BY currency"
    )

    # What a new connection of ours is asked: whose it is, and how far it is migrated.
    question = (
        "SELECT tenant_id, NULL, CURRENT_SCHEMA FROM tenancy_stamp"
        " UNION ALL SELECT app, name, NULL FROM django_migrations"
    )

    def ask(both: bool, number: int) -> list[tuple[Any, ...]]:
        database, schema = crowd_place(number)
        connection = psycopg2.connect(
            user="postgres", dbname=database, options=f"-c search_path={schema}", **where
        )
        try:
            with connection.cursor() as cursor:
                if both:
                    cursor.execute(question)
                    cursor.fetchall()
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            connection.close()

    def run(both: bool, first: int, count: int) -> Found:
        def work() -> dict[str, int]:
            totals: dict[str, int] = defaultdict(int)
            with ThreadPoolExecutor(JOBS) as pool:
                for rows in pool.map(partial(ask, both), range(first, first + count)):
                    for currency, _, stock, _ in rows:
                        totals[currency] += stock
            return totals

        return _timed(work)

    return {"report": partial(run, True), "one": partial(run, False)}


def aliases() -> dict[str, Case]:
    """Django without tenancy: one alias after the other."""
    from django.db import connections
    from django.db.models import Count, DecimalField, F, Sum

    from benchmarks.comparators.catalog.models import Product

    value = Sum(F("price") * F("stock"), output_field=DecimalField(max_digits=24, decimal_places=2))

    def run(first: int, count: int) -> Found:
        wanted = {crowd_id(number) for number in range(first, first + count)}

        def work() -> dict[str, int]:
            totals: dict[str, int] = defaultdict(int)
            for alias in connections:
                if alias in wanted:
                    rows = (
                        Product.objects.using(alias)
                        .values("currency")
                        .annotate(products=Count("pk"), pieces=Sum("stock"), value=value)
                        .order_by("currency")
                    )
                    for row in rows:
                        totals[row["currency"]] += row["pieces"]
                    connections[alias].close()
            return totals

        return _timed(work)

    return {"report": run}


WAYS = {"ours": ours, "bare": bare, "aliases": aliases}


def main() -> None:
    django.setup()
    answer(WAYS[sys.argv[1]]())


if __name__ == "__main__":
    main()
