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

from benchmarks import (
    crashes,
    endurance,
    faults,
    fleet,
    growth,
    guards,
    many,
    provision,
    reports,
    requests,
    rewrites,
    zipf,
)
from benchmarks.progress import Reporter
from benchmarks.result import Result
from benchmarks.stage import Stage
from benchmarks.writer import show, write

#: How many rounds of a comparison, and how many requests of ``endurance``, are the options' to say.
PARTS: dict[str, Callable[[Stage, Reporter, argparse.Namespace], Result]] = {
    "requests": lambda stage, reporter, options: requests.run(stage, reporter, options.rounds),
    "growth": lambda stage, reporter, options: growth.run(stage, reporter, options.rounds),
    "zipf": lambda stage, reporter, _: zipf.run(stage, reporter),
    "faults": lambda stage, reporter, _: faults.run(stage, reporter),
    "rewrites": lambda stage, reporter, _: rewrites.run(stage, reporter),
    "endurance": lambda stage, reporter, options: endurance.run(stage, reporter, options.requests),
    "fleet": lambda stage, reporter, _: fleet.run(stage, reporter),
    "provision": lambda stage, reporter, _: provision.run(stage, reporter),
    "crashes": lambda stage, reporter, _: crashes.run(stage, reporter),
    "reports": lambda stage, reporter, _: reports.run(stage, reporter),
    "many": lambda stage, reporter, _: many.run(stage, reporter),
    "guards": lambda stage, reporter, _: guards.run(stage, reporter),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="+", metavar="PART", choices=PARTS, help=", ".join(PARTS))
    parser.add_argument(
        "--rounds", type=int, default=48, help="of each comparison (%(default)s; 30 at least)"
    )
    parser.add_argument(
        "--requests",
        type=int,
        default=1_000_000,
        help="of the endurance run (%(default)s; two hours)",
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
                results.append(PARTS[name](stage, reporter, options))
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
