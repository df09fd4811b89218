"""Migrating a fleet: ``tenants migrate`` beside bare SQL, stock ``migrate`` in a loop, and django-tenants.

The databases are made and dropped a batch at a time, for an empty one takes 7 MB; all ways take turns at each
batch, django-tenants at some of them. The slow ways get fewer databases.
"""

from __future__ import annotations

import random
import shutil
import statistics
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.instrument import Estimate, Variant
from benchmarks.migrator import JOBS, name_of
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import Stage

#: Batches, and databases in each for the fast ways and for the slow one. A turn is a run, with a lock, a
#: ledger and an end of its own, which weigh more where it is short: the goals are for a thousand.
BATCHES, FAST, SLOW = 8, 250, 8
#: The batches at which django-tenants has its turn too, and its schemas then: it gets many at a time, for it
#: starts processes anew each time.
WITH_SCHEMAS, SCHEMAS = (1, 3, 6), 50
CASES = {"first": "first migrate", "nothing": "nothing to do", "column": "add a column"}
#: How many times as long as bare SQL ours may take; how much longer the loop has to; and django-tenants.
GOALS = {"first": (1.3, 10, 8), "nothing": (1.3, 8, None), "column": (1.3, 8, None)}
#: The code before the column, and with it.
CODE = ("catalog.migrations", "benchmarks.fleet_migrations")
LOOP = "benchmarks.comparators.loop"
#: Bytes that have to be free: a batch of each, and the server's log of what it wrote.
ROOM = 6 * 2**30


def run(stage: Stage, reporter: Reporter) -> Result:
    if shutil.disk_usage(stage.folder).free < ROOM:
        raise SystemExit(f"The fleet needs {ROOM // 2**30} GiB of disk in {stage.folder.parent}.")
    stage.guests("ours")  # makes the control plane
    environment = stage.environment("benchmarks.fleet_settings", TENANTS_FILE=_tenants_file(stage))
    stage.guests("schemas")
    stage.execute("postgres", f"CREATE DATABASE {name_of('a', 0)}")
    with ExitStack() as open_ways:

        def start(name: str, way: str, letter: str, environment: dict[str, str]) -> Variant:
            return open_ways.enter_context(Variant(name, ["benchmarks.migrator", way, letter], environment))

        ours = start("ours", "ours", "f", environment)
        bare = start("bare SQL", "bare", "b", environment)
        # Stock migrate goes to where its code is: one process has the code before the column, one with it.
        loops, schemas = (
            [
                start(name, way, letter, stage.environment(module, BENCH_MIGRATIONS=code, **more))
                for code in CODE
            ]
            for name, way, letter, module, more in (
                ("loop", "loop", "l", LOOP, {"BENCH_TENANTS": str(BATCHES * SLOW)}),
                ("django-tenants", "schemas", "s", "benchmarks.comparators.fleet", {}),
            )
        )
        reporter.begin("Fleets, a batch at a time", BATCHES)
        found: dict[str, dict[str, list[float]]] = {name: {case: [] for case in CASES} for name in WAYS}
        dice = random.Random(1)
        with watched(stage, "^f[0-9]{5}$") as sessions:
            for number in range(BATCHES):
                batch = _Batch(stage, number)
                if number in WITH_SCHEMAS:
                    schemas[0].look("prepare", 0, SCHEMAS)
                for case in CASES:
                    has_column = case == "column"
                    turns = [(ours, FAST), (bare, FAST), (loops[has_column], SLOW)]
                    if number in WITH_SCHEMAS:
                        turns.append((schemas[has_column], SCHEMAS))
                    dice.shuffle(turns)
                    for variant, count in turns:
                        seconds = variant.look(case, number * count, count)
                        found[variant.name][case].append(seconds / count * 1000)
                if number in WITH_SCHEMAS:
                    schemas[0].look("drop", 0, SCHEMAS)
                batch.drop()
                reporter.step()
        memory = ours.memory
    return report(found, max(sessions), memory)


WAYS = ("ours", "bare SQL", "loop", "django-tenants")


class _Batch:
    """The databases of one batch, empty."""

    def __init__(self, stage: Stage, number: int) -> None:
        self._stage = stage
        self._names = [
            name_of(letter, number * count + place)
            for letter, count in (("f", FAST), ("b", FAST), ("l", SLOW))
            for place in range(count)
        ]
        stage.execute("postgres", *(f"CREATE DATABASE {name} STRATEGY file_copy" for name in self._names))

    def drop(self) -> None:
        self._stage.execute("postgres", *(f"DROP DATABASE {name} WITH (FORCE)" for name in self._names))


def _tenants_file(stage: Stage) -> str:
    names = [name_of("a", 0), *(name_of("f", number) for number in range(BATCHES * FAST))]
    return write_tenants(stage, "fleet", {name: f"{stage.base}/{name}" for name in names})


def write_tenants(stage: Stage, what: str, urls: dict[str, str]) -> str:
    """A tenants.yaml in a folder of its own; returns its path."""
    folder = stage.folder / what
    folder.mkdir()
    lines = [f"  {name}: {{name: 'Tenant {name}', url: '{url}'}}\n" for name, url in urls.items()]
    file = folder / "tenants.yaml"
    file.write_text("version: 1\ntenants:\n" + "".join(lines))
    return str(file)


@contextmanager
def watched(stage: Stage, pattern: str) -> Iterator[list[int]]:
    """How many sessions databases of such names have at a time, asked of the server."""
    counts = [0]
    ended = threading.Event()

    def look() -> None:
        with stage.cursor("postgres") as cursor:
            while not ended.wait(0.02):
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname ~ %s", [pattern])
                counts.append(cursor.fetchone()[0])

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        ended.set()
        thread.join()


def report(found: dict[str, dict[str, list[float]]], sessions: int, memory: float) -> Result:
    table = Table(
        f"Migrating a fleet: milliseconds a database, {JOBS} at a time, and how many times bare SQL",
        ("", *(name for name in WAYS), "ours × bare SQL", "loop × ours", "django-tenants × ours"),
    )
    goals = []
    figures: dict[str, Any] = {"most connections to tenants": sessions, "memory, MiB": memory}
    for case, what in CASES.items():
        ours = found["ours"][case]
        ratios = {
            "bare SQL": Estimate.of(
                [mine / other for mine, other in zip(ours, found["bare SQL"][case], strict=True)]
            ),
            "loop": Estimate.of(
                [other / mine for mine, other in zip(ours, found["loop"][case], strict=True)]
            ),
            "django-tenants": Estimate.of(
                [
                    other / ours[number]
                    for other, number in zip(found["django-tenants"][case], WITH_SCHEMAS, strict=True)
                ]
            ),
        }
        medians = {name: statistics.median(found[name][case]) for name in WAYS}
        table.add(
            what,
            *(f"{value:.1f}" for value in medians.values()),
            *(f"{r.median:.2f}" for r in ratios.values()),
        )
        figures[what] = {"ms": medians, "ratios": {name: r.median for name, r in ratios.items()}}
        most, loop, schemas = GOALS[case]
        goals.append(Goal.ratio_at_most(f"{what}: to bare SQL", most, ratios["bare SQL"]))
        goals.append(Goal.ratio_at_least(f"{what}: the loop to ours", loop, ratios["loop"]))
        if schemas is not None:
            goals.append(
                Goal.ratio_at_least(f"{what}: django-tenants to ours", schemas, ratios["django-tenants"])
            )
    goals.append(Goal.at_most("connections of ours", JOBS, sessions))
    return Result("fleet", figures, [table], goals)
