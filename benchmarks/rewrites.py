"""tenants.yaml is rewritten all the time, half of it broken, while others are served.

Real gunicorn. What the file says of the tenants that are asked for never changes; others it adds, removes
and changes each time. Each version is written over the one before, without care: half a file is a
version, too.
"""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request

from benchmarks.load import Client, around, drive, percentile
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import TENANTS, Stage
from tests.swarm.servers import serve

PATH = "/api/products/"
#: Versions, and seconds that they take together.
VERSIONS, SECONDS = 200, 60.0
#: Entries beside those that have a database: enough that the file is read by a process of its own.
OTHERS = 2_000
CLIENTS, PACE = 6, 0.05
#: Seconds for the last version to be in use.
SOON = 3.0


def versions(good: str, seed: int) -> list[bytes]:
    """Each second one is broken, in one of the ways in which files are; the last one is not."""
    dice = random.Random(seed)
    found = []
    for number in range(VERSIONS):
        others = "".join(
            f"  other-{one}: {{name: 'Version {number}', url: 'postgres://o@db{one % 7}.internal/o{one}'}}\n"
            for one in sorted(dice.sample(range(2 * OTHERS), OTHERS))
        )
        whole = (good + others).encode()
        if number % 2 == 0:
            broken = [
                whole[: whole.index(b"}", dice.randrange(len(whole) - 2))],  # never at the end of a line
                whole + b"  acme: {name: A, url: mysql://x/y}\n",
                whole + b"\xff\xfe",
                whole.replace(b"name:", b"nmae:", 1),
                b"",
            ]
            whole = dice.choice(broken)
        found.append(whole)
    return found


def run(stage: Stage, reporter: Reporter) -> Result:
    reporter.begin("Tenants")
    guests = stage.guests("ours")
    reporter.step()
    folder = stage.folder / "rewritten"
    folder.mkdir()
    file = folder / "tenants.yaml"
    good = stage.tenants_file(TENANTS).read_text()
    written = versions(good, seed=1)
    file.write_bytes(written[-1])
    environment = stage.environment(
        "benchmarks.freehold", TENANTS_FILE=str(file), TENANCY_CACHE_DIR=str(folder / "compiled")
    )
    reporter.begin("tenants.yaml is rewritten", VERSIONS)
    generations: set[str] = set()

    with serve("wsgi", stage.folder, environment) as server:
        before = _registry(server.port)["generation"]

        def rewrite() -> None:
            start = time.monotonic()
            for number, version in enumerate(written):
                file.write_bytes(version)
                generations.add(_registry(server.port)["generation"])
                reporter.step()
                pause = start + (number + 1) * SECONDS / VERSIONS - time.monotonic()
                threading.Event().wait(max(pause, 0))
            threading.Event().wait(SOON)

        clients = [Client(server.port, around(guests[:8], PATH, seed), PACE) for seed in range(CLIENTS)]
        samples = drive(clients, rewrite)
        after = _registry(server.port)
    errors = [sample for sample in samples if sample.is_error]
    figures = {
        "versions": VERSIONS,
        "generations seen": len(generations),
        "requests": len(samples),
        "errors": len(errors),
        "p50, ms": percentile((one.seconds for one in samples), 0.5) * 1000,
        "p99, ms": percentile((one.seconds for one in samples), 0.99) * 1000,
    }
    table = Table(f"tenants.yaml ({TENANTS + OTHERS:,} entries) rewritten in {SECONDS:g} s", tuple(figures))
    table.add(*(f"{value:.3g}" if isinstance(value, float) else value for value in figures.values()))
    goals = [
        Goal.at_most("failed requests of tenants that did not change", 0, len(errors)),
        Goal(
            "the last version is in use",
            "yes",
            _yes(after["generation"] == before),
            after["generation"] == before,
        ),
        Goal("others were in use meanwhile", "yes", _yes(len(generations) > 2), len(generations) > 2),
    ]
    return Result("rewrites", figures, [table], goals)


def _registry(port: int) -> dict[str, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/readyz", headers={"Host": "localhost", "X-Forwarded-Proto": "https"}
    )
    with urllib.request.urlopen(request) as answer:
        found: dict[str, str] = json.load(answer)["registry"]
    return found


def _yes(value: bool) -> str:
    return "yes" if value else "no"
