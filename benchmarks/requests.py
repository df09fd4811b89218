"""The same requests, answered in several ways: how many times as long does ours take?"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from benchmarks import lineup, statements
from benchmarks.instrument import Timing, Variant, calls_for, in_turn, ratio
from benchmarks.lineup import MEMBERSHIP, SCHEMAS, SINGLE, STOCK, Entry, ours
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table, show
from benchmarks.stage import Stage
from benchmarks.variant import CATEGORIES, CREATE, DETAIL, LIST

OURS = (ours(50), ours(1_000), ours(10_000))
ENTRIES: tuple[Entry, ...] = (SINGLE, MEMBERSHIP, *OURS, SCHEMAS, STOCK)
CASES = (LIST, DETAIL, CREATE, *CATEGORIES)
#: Sets of processes: where a process lies in memory makes a difference of its own.
SETS = 3
#: Seconds that one turn of a variant takes, about.
TURN = 0.06

Timings = dict[str, dict[str, list[Timing]]]


def run(stage: Stage, reporter: Reporter, rounds: int) -> Result:
    for entry in ENTRIES:
        reporter.begin(f"Databases for {entry.name}")
        stage.guests(entry.kind)
        reporter.step()
    timings: Timings = defaultdict(lambda: defaultdict(list))
    counts: dict[str, dict[str, int]] = {}
    reporter.begin(f"Requests, {len(ENTRIES)} variants in turn", SETS * len(CASES) * rounds_of(rounds))
    for _ in range(SETS):
        with ExitStack() as stack:
            variants = [stack.enter_context(entry.start(stage)) for entry in ENTRIES]
            counts = counts or compare(stage, variants)
            time(variants, CASES, rounds_of(rounds), timings, reporter)
    return report(timings, counts)


def rounds_of(rounds: int) -> int:
    """Of each set."""
    return max(1, rounds // SETS)


def time(
    variants: list[Variant], cases: tuple[str, ...], rounds: int, timings: Timings, reporter: Reporter
) -> None:
    for case in cases:
        calls = {variant.name: calls_for(variant, case, TURN) for variant in variants}
        for name, found in in_turn(variants, case, rounds, calls, lambda _: reporter.step()).items():
            timings[case][name] += found


def compare(stage: Stage, variants: list[Variant]) -> dict[str, dict[str, int]]:
    """Statements of each variant in each case. All must answer alike; raises ``SystemExit`` otherwise."""
    counts: dict[str, dict[str, int]] = {}
    # The first time round, connections are opened.
    for variant in variants:
        for case in CASES:
            for _ in range(lineup.ROUND):
                variant.look(case)
    with statements.counted(stage) as take:
        for case in CASES:
            shapes = {}
            counts[case] = {}
            for variant in variants:
                take()
                status, headers, body = variant.look(case)
                # Of creating also what cleans up after it, from another connection.
                counts[case][variant.name] = sum(1 for text in take() if not _is_cleaning(text))
                shapes[variant.name] = shape(status, headers, json.loads(body))
            if len({repr(found) for found in shapes.values()}) > 1:
                raise SystemExit(f"'{case}' is not answered alike: {shapes}")
    return counts


def _is_cleaning(statement: str) -> bool:
    return "bench-%" in statement or statement.startswith("VACUUM")


def shape(status: int, headers: dict[str, str], body: Any) -> tuple[Any, ...]:
    """What answers must have in common: the status, the type, the names, how many rows."""
    media_type = headers["Content-Type"].partition(";")[0]
    if "results" in body:
        return status, media_type, list(body), body["count"], len(body["results"]), list(body["results"][0])
    return status, media_type, list(body)


def report(timings: Timings, counts: dict[str, dict[str, int]]) -> Result:
    table = Table(
        "Requests: microseconds, and how many times as long as in a single database (95 % interval)",
        ("case", "variant", "µs", "× single", "× single, processor", "× with membership", "statements"),
    )
    figures: dict[str, Any] = {}
    for case, found in timings.items():
        figures[case] = {}
        for name, mine in found.items():
            to_single = ratio(mine, found[SINGLE.name])
            processor = ratio(mine, found[SINGLE.name], "processor")
            to_membership = ratio(mine, found[MEMBERSHIP.name])
            wall = sorted(timing.wall for timing in mine)[len(mine) // 2]
            figures[case][name] = {
                "microseconds": wall,
                "to single": vars(to_single),
                "to single, processor": vars(processor),
                "to single+membership": vars(to_membership),
                "statements": counts[case][name],
            }
            table.add(
                *(case, name, f"{wall:,.0f}", show(to_single), show(processor), show(to_membership)),
                counts[case][name],
            )
    return Result("requests", figures, [table], goals(timings))


def goals(timings: Timings) -> list[Goal]:
    found = []
    for case in (LIST, DETAIL, CREATE):
        theirs = timings[case]
        for entry in OURS[1:]:
            mine = theirs[entry.name]
            limit = 1.15 if case == CREATE else 1.1
            found += [
                Goal.ratio_at_most(
                    f"{case}: {entry.name} to a single database", limit, ratio(mine, theirs[SINGLE.name])
                ),
                Goal.ratio_at_most(
                    f"{case}: {entry.name} to the same with membership",
                    1.05,
                    ratio(mine, theirs[MEMBERSHIP.name]),
                ),
                Goal.ratio_at_least(
                    f"{case}: django-tenants to {entry.name}", 1.15, ratio(theirs[SCHEMAS.name], mine)
                ),
            ]
    return found
