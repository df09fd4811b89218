"""Very many requests over a thousand tenants: does anything grow?

Real gunicorn and Zipf's law, as in ``benchmarks.zipf``. The process is looked at from outside, once a second.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load import BROKEN, Client, Sample, drive, get, percentile
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import CROWD, Guest, Stage
from benchmarks.zipf import CLIENTS, watched, weights
from tests.swarm.servers import serve

#: Little to serialise: what might grow is how a request gets its connection.
PATH = "/api/categories/?page_size=1"
#: What fills the caches of a process is no growth: this share of the requests comes before the comparison.
WARM_UP = 0.1
#: How much more the last tenth may have than the first after the warm-up: MiB, descriptors.
MEMORY, DESCRIPTORS = 8, 4
BUDGET = 20


@dataclass(frozen=True)
class Look:
    """The server's processes together."""

    requests: int
    memory: float
    descriptors: int
    threads: int


class Observer(threading.Thread):
    def __init__(self, master: int, samples: list[list[Sample]], reporter: Reporter) -> None:
        super().__init__(daemon=True)
        self.looks: list[Look] = []
        self._master, self._samples, self._reporter = master, samples, reporter
        self._ended = threading.Event()

    def run(self) -> None:
        told = 0
        while not self._ended.wait(1.0):
            done = sum(len(samples) for samples in self._samples)
            self._reporter.step(done - told)
            told = done
            try:
                self.looks.append(Look(done, *_of_processes(self._master)))
            except (FileNotFoundError, ProcessLookupError):
                return  # the run was interrupted, and the server has ended

    def end(self) -> None:
        self._ended.set()
        self.join()


def _of_processes(master: int) -> tuple[float, int, int]:
    pids = [master, *_children(master)]
    status = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    memory = sum(int(text.partition("VmRSS:")[2].split()[0]) for text in status) / 1024
    threads = sum(int(text.partition("Threads:")[2].split()[0]) for text in status)
    return memory, sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids), threads


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def traffic(guests: list[Guest], number: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many requests, drawn as they are needed."""
    ranked = random.Random(CROWD).sample(guests, len(guests))
    requests = [(guest.tenant_id, get(guest, PATH)) for guest in ranked]
    cumulative = list(itertools.accumulate(weights(len(ranked))))
    dice = random.Random(seed)
    for _ in range(number):
        yield dice.choices(requests, cum_weights=cumulative)[0]


def run(stage: Stage, reporter: Reporter, requests: int) -> Result:
    reporter.begin(f"{CROWD:,} schemas")
    guests = stage.guests("crowd")
    reporter.step()
    environment = stage.environment(
        "benchmarks.freehold",
        TENANTS_FILE=str(stage.tenants_file("crowd")),
        TENANCY_POOL_SIZE=str(BUDGET),
    )
    with serve("wsgi", stage.folder, environment) as server, watched(stage) as watch:
        clients = [Client(server.port, traffic(guests, requests // CLIENTS, seed)) for seed in range(CLIENTS)]
        reporter.begin("Requests", requests)
        observer = Observer(server.process.pid, [client.samples for client in clients], reporter)
        observer.start()
        began = time.monotonic()
        samples = drive(clients)
        seconds = time.monotonic() - began
        observer.end()
    found = report(samples, seconds, observer.looks, max(watch.tenants), max(watch.control))
    found.goals.append(Goal.at_least("requests", requests // CLIENTS * CLIENTS, len(samples)))
    return found


def report(samples: list[Sample], seconds: float, looks: list[Look], tenants: int, control: int) -> Result:
    total = len(samples)
    first = [look for look in looks if WARM_UP <= look.requests / total < 2 * WARM_UP]
    last = [look for look in looks if look.requests / total >= 1 - WARM_UP]
    errors = sum(sample.is_error for sample in samples)
    seconds_of = [sample.seconds for sample in samples if not sample.is_error]
    figures: dict[str, Any] = {
        "requests": total,
        "a second": total / seconds,
        "errors": errors,
        **{
            "no answer" if status == BROKEN else str(status): number
            for status, number in sorted(Counter(one.status for one in samples if one.is_error).items())
        },
        "p50, ms": percentile(seconds_of, 0.5) * 1000,
        "p99, ms": percentile(seconds_of, 0.99) * 1000,
        "most connections to tenants": tenants,
        "most connections to control": control,
    }
    table = Table(f"Zipf's law over {CROWD:,} tenants, a budget of {BUDGET}", tuple(figures))
    table.add(*(f"{value:.3g}" if isinstance(value, float) else f"{value:,}" for value in figures.values()))
    growth = Table("The server's processes together, medians", ("", "second tenth", "last tenth"))
    goals = [
        Goal.at_most("errors", 0, errors),
        Goal.at_most("connections to tenants", BUDGET, tenants),
    ]
    for name, unit, allowed in (
        ("memory", " MiB", MEMORY),
        ("descriptors", "", DESCRIPTORS),
        ("threads", "", 2),
    ):
        before, after = (median(getattr(look, name) for look in part) for part in (first, last))
        figures[name] = [before, after]
        growth.add(name, f"{before:.0f}{unit}", f"{after:.0f}{unit}")
        goals.append(Goal.at_most(f"{name} grown after the warm-up", allowed, after - before, unit))
    return Result("endurance", figures, [table, growth], goals)
