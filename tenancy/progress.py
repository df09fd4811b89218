"""How far a run over many tenants is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Seconds between two lines, where there is no terminal.
PAUSE = 5.0


class FleetProgress:
    """``step()`` for each tenant that is done. Writes to ``stream``, which is a command's stderr: stdout has
    the results."""

    def __init__(self, stream: Any, what: str, total: int) -> None:
        self.total = total
        self.what = what
        self.done = self.failed = 0
        self._stream = stream
        self._start = self._last = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}", style="bold red"),
        )
        console = Console(file=stream, highlight=False)
        self._bar = Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
            # What a command prints belongs where it printed it.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(what, total=total, failed="")

    def __enter__(self) -> FleetProgress:
        self._bar.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, *, is_ok: bool) -> None:
        self.done += 1
        self.failed += not is_ok
        if not self._bar.disable:
            failed = f"{self.failed} failed" if self.failed else ""
            self._bar.update(self._task, completed=self.done, failed=failed)
        elif time.monotonic() - self._last >= PAUSE:
            self._last = time.monotonic()
            left = (self._last - self._start) / self.done * (self.total - self.done)
            failed = f", {self.failed} failed" if self.failed else ""
            self._stream.write(f"{self.what}: {self.done} of {self.total}{failed}, {left:.0f} s to go\n")
            self._stream.flush()
