"""What many tenants cost a process: its start, its memory, and a change of tenants.yaml while it works.

``python -m benchmarks.registry [--rounds N] [--tenants N]`` prints two tables. Each figure is from processes
of their own, in turn, so that each has met the same weather (see ``benchmarks.instrument``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.instrument import Estimate

SMALL = (3, 10)


def write(file: Path, tenants: int, name: str = "Tenant") -> None:
    """A tenants.yaml as people write them; ``name`` changes every entry."""
    lines = ["version: 1", "tenants:"]
    for number in range(tenants):
        lines += [
            f"  tenant-{number}:",
            f"    name: {name} {number}",
            "    labels: {plan: gold, region: eu}",
            f"    url: postgres://t{number}:${{PW}}@db{number % 7}.internal/tenant_{number}",
        ]
    draft = file.with_suffix(".new")
    draft.write_text("\n".join(lines) + "\n")
    draft.replace(file)


def memory(kind: str) -> float:
    """MiB of this process: ``VmRSS`` now, ``VmHWM`` at its highest."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{kind}:")[2].split()[0]) / 1024


def started(began: float) -> dict[str, float]:
    """What a start took until now; ``began`` is on the clock that all processes share."""
    import django

    django.setup()
    from tenancy.registry import get_registry

    get_registry().require()
    seconds = time.monotonic() - began
    facts = {"seconds": seconds, "now": memory("VmRSS"), "highest": memory("VmHWM")}
    for tenant in get_registry():
        tenant.database  # noqa: B018  # as a fleet command would ask for it
    return facts | {"asked": memory("VmRSS")}


def stalled(rounds: int) -> dict[str, list[float]]:
    """The longest gaps, in milliseconds, that a busy thread sees while another thread begins requests: a
    second without a change, and a second or more with one."""
    import django

    django.setup()
    from django.conf import settings

    from tenancy import live
    from tenancy.registry import get_registry

    file = Path(settings.TENANTS_FILE)
    tenants = len(get_registry())
    quiet: list[float] = []
    busy: list[float] = []
    took: list[float] = []
    for number in range(rounds):
        quiet.append(_gap(lambda: _requests(lambda: False, least=1.0)))
        generation = get_registry().generation
        write(file, tenants, f"Round {number}")
        began = time.monotonic()

        def reload(before: str = generation, began: float = began) -> None:
            live.refresh()
            _requests(lambda: get_registry().generation == before, least=0.5)
            took.append(time.monotonic() - began - 0.5)

        busy.append(_gap(reload))
    return {"quiet": quiet, "busy": busy, "took": took}


def _requests(go_on: Callable[[], bool], least: float) -> None:
    from tenancy import live

    until = time.monotonic() + least
    while go_on() or time.monotonic() < until:
        if go_on():
            until = time.monotonic() + least
        live.refresh()
        time.sleep(0.002)


def _gap(work: Callable[[], None]) -> float:
    """The longest time, in milliseconds, in which a thread that does nothing but look at the clock got no
    turn while ``work`` was done."""
    done = threading.Event()
    longest = 0.0

    def look() -> None:
        nonlocal longest
        before = time.perf_counter()
        while not done.is_set():
            now = time.perf_counter()
            longest = max(longest, now - before)
            before = now

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return longest * 1000


def ask(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run this module's other side in a process of its own."""
    environment = os.environ | {
        "DEBUG": "1",
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "TENANTS_FILE": str(folder / "tenants.yaml"),
        "TENANCY_CACHE_DIR": str(folder / "compiled"),
        "PW": "as-long-as-a-password",
    }
    done = subprocess.run(  # our own program, and arguments of our own
        [sys.executable, "-m", "benchmarks.registry", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def starts(tenants: int, rounds: int) -> list[dict[str, Any]]:
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = {number: Path(name) / str(number) for number in (*SMALL, tenants)}
        for number, folder in folders.items():
            folder.mkdir()
            write(folder / "tenants.yaml", number)
        for _ in range(rounds):
            for number, folder in folders.items():
                shutil.rmtree(folder / "compiled", ignore_errors=True)
                for kind in ("cold", "compiled"):
                    began = time.monotonic()
                    found.setdefault((number, kind), []).append(ask(folder, "--start", str(began)))
    return [
        {"tenants": number, "kind": kind}
        | {fact: Estimate.of([one[fact] for one in facts]) for fact in facts[0]}
        for (number, kind), facts in found.items()
    ]


def reloads(tenants: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name) / "tenants.yaml", tenants)
        time.sleep(2)
        return ask(Path(name), "--stall", str(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--start", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--stall", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start is not None:
        print(json.dumps(started(options.start)))  # noqa: T201
        return
    if options.stall is not None:
        print(json.dumps(stalled(options.stall)))  # noqa: T201
        return
    console = Console()
    table = Table("tenants", "tenants.yaml", title=f"A start of Django (median of {options.rounds})")
    for column in ("seconds", "MiB then", "MiB at most", "MiB, all asked"):
        table.add_column(column, justify="right")
    for row in starts(options.tenants, options.rounds):
        figures = [f"{row[fact].median:.2f}" for fact in ("seconds",)]
        figures += [f"{row[fact].median:.0f}" for fact in ("now", "highest", "asked")]
        table.add_row(str(row["tenants"]), row["kind"], *figures)
    console.print(table)
    table = Table("tenants", title="The longest gap of a busy thread, in ms (median, worst)")
    for column in ("no change", "tenants.yaml changed", "seconds until in use"):
        table.add_column(column, justify="right")
    for number in (SMALL[0], options.tenants):
        gaps = reloads(number, options.rounds)
        pairs = [(statistics.median(gaps[kind]), max(gaps[kind])) for kind in ("quiet", "busy", "took")]
        table.add_row(
            str(number),
            *(f"{median:.1f}, {worst:.1f}" for median, worst in pairs[:2]),
            f"{pairs[2][0]:.2f}, {pairs[2][1]:.2f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
