"""How far a run is: a bar on a terminal, plain lines elsewhere. On stderr, so that stdout has the results."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

#: Seconds between two lines.
PAUSE = 10.0


class Reporter:
    """``begin()`` a piece of work of so many steps, then ``step()``."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        self._bar = Progress(
            *columns, TimeElapsedColumn(), console=self._console, disable=not self._console.is_terminal
        )
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Reporter:
        self._bar.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, what: str, steps: int = 1) -> None:
        self._what, self._steps, self._done = what, steps, 0
        if self._bar.disable:
            self._line(what)
        else:
            self._task = self._bar.add_task(what, total=steps)

    def step(self, count: int = 1) -> None:
        self._done += count
        if not self._bar.disable:
            self._bar.update(self._task, completed=self._done)
        elif self._done == self._steps > 1 or time.monotonic() - self._last > PAUSE:
            self._line(f"{self._what}: {self._done} of {self._steps}")

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(f"{self._last - self._start:5.0f} s  {text}")
