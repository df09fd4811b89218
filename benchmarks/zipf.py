"""Many tenants, few connections: traffic by Zipf's law over a thousand tenants, with a budget."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.load import Client, drive, get, percentile
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import CROWD, Guest, Stage, sessions
from tests.swarm.servers import serve

BUDGETS = (20, 50, 200)
#: How unequal: the tenant of rank r is asked for r ** -EXPONENT as often as the first.
EXPONENT = 1.1
#: Requests with each budget, after as many as warm it up; and clients, one for each of the server's threads.
REQUESTS, WARM_UP, CLIENTS = 4_000, 600, 8
#: Seconds between two looks at the server's connections.
LOOK = 0.02
#: Seconds until the server has surely counted its connections.
_COUNTED = 1.5
PATH = "/api/products/"


def weights(count: int, exponent: float = EXPONENT) -> list[float]:
    """How often each rank is asked for."""
    return [rank**-exponent for rank in range(1, count + 1)]


def draw(guests: list[Guest], number: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many requests. Which tenant has which rank is shuffled, for neighbours share a database."""
    ranked = random.Random(CROWD).sample(guests, len(guests))
    requests = [(guest.tenant_id, get(guest, PATH)) for guest in ranked]
    yield from random.Random(seed).choices(requests, weights(len(ranked)), k=number)


class Watch(threading.Thread):
    """Looks at the server's connections, over one of its own.

    A server tells its sessions one after the other, so in one look there may be one that ends and one that
    began in its place, which were never there at the same time. So it looks twice in a row: who is in both
    looks was there between them, with all the others who are.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self.tenants: list[int] = []
        self.control: list[int] = []
        self._stage = stage
        self._ended = threading.Event()

    def run(self) -> None:
        with self._stage.cursor("postgres") as cursor:
            while not self._ended.wait(LOOK):
                together = self._look(cursor) & self._look(cursor)
                control = sum(database == "control" for _, _, database in together)
                self.tenants.append(len(together) - control)
                self.control.append(control)

    def _look(self, cursor: Any) -> set[tuple[int, Any, str]]:
        cursor.execute(
            "SELECT pid, backend_start, datname FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND datname <> 'postgres'"
        )
        return set(cursor.fetchall())

    def end(self) -> None:
        self._ended.set()
        self.join()


@contextmanager
def watched(stage: Stage) -> Iterator[Watch]:
    watch = Watch(stage)
    watch.start()
    try:
        yield watch
    finally:
        watch.end()


def run(stage: Stage, reporter: Reporter) -> Result:
    reporter.begin(f"{CROWD:,} schemas")
    stage.guests("ours")
    guests = stage.guests("crowd")
    reporter.step()
    reporter.begin("Traffic by Zipf's law", len(BUDGETS))
    figures = {}
    for budget in BUDGETS:
        figures[str(budget)] = with_budget(stage, guests, budget)
        reporter.step()
    return report(figures)


def with_budget(stage: Stage, guests: list[Guest], budget: int) -> dict[str, Any]:
    environment = stage.environment(
        "benchmarks.freehold",
        TENANTS_FILE=str(stage.tenants_file("crowd")),
        TENANCY_POOL_SIZE=str(budget),
    )
    with (
        stage.cursor("postgres") as cursor,
        watched(stage) as watch,
        serve("wsgi", stage.folder, environment) as server,
    ):
        drive(_clients(server.port, guests, WARM_UP, seed=1))
        time.sleep(_COUNTED)
        before, begin = sessions(cursor, "crowd%"), time.monotonic()
        samples = drive(_clients(server.port, guests, REQUESTS, seed=2))
        seconds = time.monotonic() - begin
        time.sleep(_COUNTED)
        opened = sessions(cursor, "crowd%") - before
    fine = [sample.seconds for sample in samples if not sample.is_error]
    return {
        "requests": len(samples),
        "errors": len(samples) - len(fine),
        "a second": len(samples) / seconds,
        "connections opened": opened,
        "hit rate": 1 - opened / len(fine) if fine else 0.0,
        "p50, ms": percentile(fine, 0.5) * 1000,
        "p99, ms": percentile(fine, 0.99) * 1000,
        "most connections to tenants": max(watch.tenants),
        "most connections to control": max(watch.control),
    }


def _clients(port: int, guests: list[Guest], requests: int, seed: int) -> list[Client]:
    drawn = list(draw(guests, requests, seed))
    return [Client(port, itertools.islice(iter(drawn), number, None, CLIENTS)) for number in range(CLIENTS)]


def report(figures: dict[str, dict[str, Any]]) -> Result:
    columns = list(next(iter(figures.values())))
    table = Table(
        f"Zipf's law (s = {EXPONENT}) over {CROWD:,} tenants, {CLIENTS} threads, by budget of connections",
        ("budget", *columns),
    )
    for budget, found in figures.items():
        cells = [f"{value:.3g}" if isinstance(value, float) else value for value in found.values()]
        table.add(budget, *cells)
    goals = [
        goal
        for budget, found in figures.items()
        for goal in (
            Goal.at_most(
                f"connections with a budget of {budget}", int(budget), found["most connections to tenants"]
            ),
            Goal.at_most(f"errors with a budget of {budget}", 0, found["errors"]),
        )
    ]
    return Result("zipf", figures, [table], goals)
