"""More tenants in tenants.yaml: what that costs the traffic of the others, memory, and a start."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.instrument import ratio
from benchmarks.lineup import SINGLE, naive, ours
from benchmarks.progress import Reporter
from benchmarks.requests import SETS, Timings, rounds_of
from benchmarks.requests import time as time_cases
from benchmarks.result import Goal, Result, Table, show
from benchmarks.stage import ROOT, Stage, sessions
from benchmarks.variant import CREATE, DETAIL, LIST

SIZES = (3, 10, 100, 1_000, 10_000)
NAIVE_SIZES = (50, 1_000, 10_000)
#: Tenants that requests go round: all that the smallest size has.
ROUND = 3
CASES = (LIST, DETAIL, CREATE)
#: Starts of each kind.
STARTS = 7
#: Seconds until the server has surely counted a connection that ended.
_COUNTED = 1.2


def run(stage: Stage, reporter: Reporter, rounds: int) -> Result:
    timings, memory = traffic(stage, reporter, rounds)
    starts, opened = start_times(stage, reporter)
    return report(timings, memory, starts, opened)


def traffic(stage: Stage, reporter: Reporter, rounds: int) -> tuple[Timings, dict[str, list[float]]]:
    """Timings, and MiB of each process after its last request."""
    entries = [SINGLE, *map(ours, SIZES), *map(naive, NAIVE_SIZES)]
    for entry in entries:
        stage.guests(entry.kind)
    timings: Timings = defaultdict(lambda: defaultdict(list))
    memory: dict[str, list[float]] = defaultdict(list)
    reporter.begin(f"Traffic, up to {SIZES[-1]:,} tenants", SETS * len(CASES) * rounds_of(rounds))
    for _ in range(SETS):
        with ExitStack() as stack:
            variants = [stack.enter_context(entry.start(stage, ROUND)) for entry in entries]
            time_cases(variants, CASES, rounds_of(rounds), timings, reporter)
            for variant in variants:
                memory[variant.name].append(variant.memory)
    return timings, memory


def start_times(stage: Stage, reporter: Reporter) -> tuple[dict[str, list[float]], int]:
    """Seconds until a process could serve, by kind, in turn; and the connections that all of them opened."""
    found: dict[str, list[float]] = defaultdict(list)
    kinds = [(3, False), (3, True), (10_000, False), (10_000, True)]
    reporter.begin("Starts", STARTS * len(kinds))
    with stage.cursor("postgres") as cursor:
        before = sessions(cursor)
    for number in range(STARTS):
        # A cold start comes before the warm one of the same file, whose content is new each time.
        for size, is_warm in _in_random_order(kinds):
            file = stage.tenants_file(size)
            if not is_warm:
                with file.open("a") as stream:
                    stream.write(f"# {number}\n")
            else:
                _start(stage, file)
            found[f"{size:,}, {'compiled' if is_warm else 'cold'}"].append(_start(stage, file))
            reporter.step()
    time.sleep(_COUNTED)
    with stage.cursor("postgres") as cursor:
        return found, sessions(cursor) - before


def _in_random_order(kinds: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    return random.sample(kinds, len(kinds))


def _start(stage: Stage, file: Path) -> float:
    """Seconds from nothing to an application that has read its settings, models, URLs and tenants."""
    code = "import project.wsgi; from django.urls import get_resolver; get_resolver().url_patterns"
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=stage.environment("benchmarks.freehold", TENANTS_FILE=str(file)),
        check=True,
    )
    return time.perf_counter() - begin


def report(
    timings: Timings, memory: dict[str, list[float]], starts: dict[str, list[float]], opened: int
) -> Result:
    mebibytes = {name: statistics.median(values) for name, values in memory.items()}
    seconds = {name: statistics.median(values) for name, values in starts.items()}
    many, few = starts["10,000, compiled"], starts["3, compiled"]
    longer = statistics.median(one / other for one, other in zip(many, few, strict=True))
    to_single = {
        case: {name: ratio(mine, found[SINGLE.name]) for name, mine in found.items()}
        for case, found in timings.items()
    }
    table = Table(
        "More tenants: times a single database's request, and resident memory",
        ("variant", *CASES, "MiB"),
    )
    for name, size in mebibytes.items():
        table.add(name, *(show(to_single[case][name]) for case in CASES), f"{size:.0f}")
    begin = Table("Start: seconds until it can serve, median", ("tenants", "seconds"))
    for name, value in seconds.items():
        begin.add(name, f"{value:.2f}")
    figures = {
        "to single": {
            case: {name: vars(value) for name, value in found.items()} for case, found in to_single.items()
        },
        "MiB": mebibytes,
        "start, seconds": seconds,
        "start, 10,000 to 3, compiled": longer,
        "connections opened at start": opened,
    }
    return Result("growth", figures, [table, begin], goals(timings, figures))


def goals(timings: Timings, figures: dict[str, Any]) -> list[Goal]:
    few, many = ours(10).name, ours(10_000).name
    memory, seconds = figures["MiB"], figures["start, seconds"]
    return [
        *(
            Goal.ratio_at_most(
                f"{case}: 10,000 tenants to 10", 1.05, ratio(timings[case][many], timings[case][few])
            )
            for case in CASES
        ),
        Goal.at_most("memory: 10,000 tenants more than 10", 100, memory[many] - memory[few], " MiB"),
        Goal.at_most("start: 10,000 to 3, compiled", 2, figures["start, 10,000 to 3, compiled"], " ×"),
        Goal.at_most("start: 10,000, cold", 4, seconds["10,000, cold"], " s"),
        Goal.at_most("connections opened at start", 0, figures["connections opened at start"]),
    ]
