"""How far a swarm is: a bar at a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.swarm.report import Report

#: Seconds between two lines.
_EVERY = 2.0


class Lines:
    def __init__(self) -> None:
        self._name = ""
        self._start = self._last = 0.0

    def __call__(self, report: Report, total: int) -> None:
        now = time.monotonic()
        if report.name != self._name:
            self._name, self._start, self._last = report.name, now, now
        done = report.requests
        if now - self._last < _EVERY and done < total:
            return
        self._last = now
        rate = done / max(now - self._start, 0.1)
        say(
            f"{report.name}: {done:,} of {total:,}, {rate:.0f}/s, {report.problems.total()} problems, "
            f"{max(total - done, 0) / max(rate, 1):.0f} s to go"
        )


class Bar:
    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}, {task.fields[problems]} problems"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, report: Report, total: int) -> None:
        if report.name not in self._tasks:
            self._tasks[report.name] = self._progress.add_task(report.name, total=total, problems=0)
        self._progress.update(
            self._tasks[report.name], completed=report.requests, problems=report.problems.total()
        )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def is_terminal() -> bool:
    return sys.stdout.isatty()
