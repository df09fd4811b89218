"""One report over a thousand tenants, beside psycopg2 in as many threads and beside loops written by hand.

Twice: with the server next door, and with 20 ms put in front of every message to it. All take turns at
batches of tenants.
"""

from __future__ import annotations

import random
import statistics
import threading
from contextlib import ExitStack
from typing import Any

from benchmarks.fleet import watched, write_tenants
from benchmarks.instrument import Estimate, Variant
from benchmarks.progress import Reporter
from benchmarks.proxy import Proxy
from benchmarks.reporter import JOBS
from benchmarks.result import Goal, Result, Table, show
from benchmarks.stage import CROWD, Stage, crowd_id, crowd_place

#: Tenants in each batch near by, and how often all batches of the thousand are gone through.
BATCH, TURNS = 100, 2
#: Far away everything takes its time, so that fewer will do; those that go one by one get fewer yet.
FAR, FAR_SLOW, FAR_ROUNDS = 96, 12, 8
#: Seconds of latency.
LATENCY = 0.020
#: MiB that the last tenth of all runs may have more than the second.
MEMORY = 8


def run(stage: Stage, reporter: Reporter) -> Result:
    stage.guests("single")
    stage.guests("crowd")
    rounds = TURNS * CROWD // BATCH
    near: dict[str, list[float]] = {}
    far: dict[str, list[float]] = {}
    memory: list[float] = []
    with ExitStack() as stack:
        variants = [stack.enter_context(variant) for variant in _variants(stage, "near")]
        ours = variants[0]
        ours.look("report", 0, CROWD)  # works out every tenant's settings, which the registry keeps
        sessions = stack.enter_context(watched(stage, "^crowd[0-9]+$"))
        reporter.begin(f"{CROWD:,} tenants, {BATCH} at a time", rounds)
        for number in range(rounds):
            start = number * BATCH % CROWD
            _take_turns(number, [(variant, case, start, BATCH) for variant, case in _cases(variants)], near)
            memory.append(ours.memory)
            reporter.step()
        sessions.clear()
        reporter.begin(f"{CROWD:,} tenants in one run", 1)
        whole = _watched_run(ours)
        most = max(sessions)
        reporter.step()
    with ExitStack() as stack:
        socket = f"{stage.host}/.s.PGSQL.5432"
        proxy = stack.enter_context(Proxy(socket, LATENCY))
        variants = [stack.enter_context(variant) for variant in _variants(stage, "far", proxy.port)]
        reporter.begin(f"The same, {LATENCY * 1000:.0f} ms away", FAR_ROUNDS)
        for number in range(FAR_ROUNDS):
            counts = {"report": FAR, "one": FAR, "loop": FAR_SLOW}
            _take_turns(
                number,
                [
                    (variant, case, number * FAR, FAR_SLOW if variant.name == "aliases" else counts[case])
                    for variant, case in _cases(variants)
                ],
                far,
            )
            reporter.step()
    return report(near, far, memory, whole, most)


def _variants(stage: Stage, where: str, port: int | None = None) -> list[Variant]:
    more = {} if port is None else {"BENCH_PORT": str(port)}
    base = stage.base if port is None else f"postgres://postgres@127.0.0.1:{port}"
    urls = {
        crowd_id(number): "{}/{}?currentSchema={}".format(base, *crowd_place(number))
        for number in range(CROWD)
    }
    file = write_tenants(stage, f"reports-{where}", urls)
    ours = stage.environment("benchmarks.freehold", TENANTS_FILE=file)
    plain = stage.environment("benchmarks.comparators.aliases", **more)
    return [
        Variant("ours", ["benchmarks.reporter", "ours"], ours),
        Variant("bare", ["benchmarks.reporter", "bare"], plain),
        Variant("aliases", ["benchmarks.reporter", "aliases"], plain),
    ]


def _cases(variants: list[Variant]) -> list[tuple[Variant, str]]:
    ours, bare, _ = variants
    return [(variant, "report") for variant in variants] + [(ours, "loop"), (bare, "one")]


def _take_turns(
    number: int, turns: list[tuple[Variant, str, int, int]], found: dict[str, list[float]]
) -> None:
    """Milliseconds for each tenant; all that were asked the same have to have found the same."""
    random.Random(number).shuffle(turns)
    totals: dict[int, Any] = {}
    for variant, case, start, count in turns:
        answer = variant.look(case, start, count)
        if totals.setdefault(count, answer["totals"]) != answer["totals"]:
            raise SystemExit(f"'{variant.name}' found other totals than the others.")
        name = variant.name if case == "report" else case
        found.setdefault(name, []).append(answer["seconds"] / count * 1000)


def _watched_run(ours: Variant) -> dict[str, float]:
    memory: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            memory.append(ours.memory)

    observer = threading.Thread(target=look, daemon=True)
    observer.start()
    seconds = ours.look("report", 0, CROWD)["seconds"]
    ended.set()
    observer.join()
    tenth = max(1, len(memory) // 10)
    return {
        "seconds": seconds,
        "MiB in the second tenth": statistics.median(memory[tenth : 2 * tenth]),
        "MiB in the last tenth": statistics.median(memory[-tenth:]),
    }


NAMES = {
    "ours": f"report, {JOBS} jobs",
    "bare": f"psycopg2, {JOBS} threads, the same SELECTs",
    "one": f"psycopg2, {JOBS} threads, without the stamp",
    "loop": "each_tenant(), one by one",
    "aliases": "plain Django, one alias after the other",
}


def report(
    near: dict[str, list[float]],
    far: dict[str, list[float]],
    memory: list[float],
    whole: dict[str, float],
    most: int,
) -> Result:
    def ratio(found: dict[str, list[float]], one: str, other: str) -> Estimate:
        return Estimate.of([mine / theirs for mine, theirs in zip(found[one], found[other], strict=True)])

    table = Table(
        f"Inventory of {CROWD:,} tenants: milliseconds each",
        ("", "next door", "÷ ours", f"{LATENCY * 1000:.0f} ms away", "÷ ours"),
    )
    for name, what in NAMES.items():
        cells: list[str] = []
        for found in (near, far):
            is_ours = name == "ours"
            cells.append(f"{statistics.median(found[name]):.2f}")
            cells.append("" if is_ours else show(ratio(found, name, "ours")))
        table.add(what, *cells)
    tenth = max(1, len(memory) // 10)
    grown = statistics.median(memory[-tenth:]) - statistics.median(memory[tenth : 2 * tenth])
    goals = [
        Goal.ratio_at_most("report ÷ psycopg2", 1.5, ratio(near, "ours", "bare")),
        Goal.ratio_at_least("plain Django one by one ÷ report", 1, ratio(near, "aliases", "ours")),
        Goal.ratio_at_least(
            f"plain Django one by one ÷ report, {LATENCY * 1000:.0f} ms away",
            5,
            ratio(far, "aliases", "ours"),
        ),
        Goal.at_most("connections in one run, sampled", JOBS, most),
        Goal.at_most(
            "memory grown in one run",
            MEMORY,
            whole["MiB in the last tenth"] - whole["MiB in the second tenth"],
            " MiB",
        ),
        Goal.at_most("memory grown over all runs", MEMORY, grown, " MiB"),
    ]
    medians = {
        where: {name: statistics.median(values) for name, values in found.items()}
        for where, found in (("near", near), ("far", far))
    }
    figures = {"ms": medians, "one run": whole, "most connections": most}
    return Result("reports", figures, [table], goals)
