"""``python -m benchmarks PART…``: compare, show, and keep the figures."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from benchmarks import faults, growth, guards, requests, zipf
from benchmarks.progress import Reporter
from benchmarks.result import Result
from benchmarks.stage import Stage
from benchmarks.writer import show, write

PARTS: dict[str, Callable[[Stage, Reporter, int], Result]] = {
    "requests": requests.run,
    "growth": growth.run,
    "zipf": zipf.run,
    "faults": faults.run,
    "guards": guards.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="+", metavar="PART", choices=PARTS, help=", ".join(PARTS))
    parser.add_argument(
        "--rounds", type=int, default=48, help="of each comparison (%(default)s; 30 at least)"
    )
    parser.add_argument("--json", type=Path, help="the file for the figures (benchmarks/results/…)")
    options = parser.parse_args()
    # Every "finally" runs, and so ends what was started; also in a shell's background, which ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    results = []
    try:
        with Reporter() as reporter:
            reporter.begin("PostgreSQL")
            stage = Stage()
            reporter.step()
            for name in dict.fromkeys(options.parts):
                results.append(PARTS[name](stage, reporter, options.rounds))
                file = write(results, options.json)
    except KeyboardInterrupt:
        return 130
    show(results, file)
    if {"requests", "growth"} <= {result.name for result in results}:
        from benchmarks import plot  # only here: what draws takes a second to import

        picture = file.with_suffix(".svg")
        plot.draw(json.loads(file.read_text()), picture)
        Console(highlight=False).print(f"The picture is in {os.path.relpath(picture)}.", soft_wrap=True)
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
