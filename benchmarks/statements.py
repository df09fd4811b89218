"""How many statements a request sends, counted where they arrive: in the server's log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.stage import Stage

#: Seconds until every connection of the server has taken a setting over.
_RELOAD = 0.3


@contextmanager
def counted(stage: Stage) -> Iterator[Callable[[], list[str]]]:
    """Inside the block, a function that returns the statements since it was called last."""
    log = stage.folder / "postgres" / "log"

    def take() -> list[str]:
        nonlocal position
        # Each statement is logged before it runs, so the answer comes after its line.
        with log.open(encoding="utf-8", errors="replace") as stream:
            stream.seek(position)
            text = stream.read()
            position = stream.tell()
        return [line.partition("statement: ")[2] for line in text.splitlines() if "LOG:  statement: " in line]

    _switch(stage, "all")
    position = log.stat().st_size
    try:
        yield take
    finally:
        _switch(stage, "none")


def _switch(stage: Stage, what: str) -> None:
    stage.execute("postgres", f"ALTER SYSTEM SET log_statement = '{what}'", "SELECT pg_reload_conf()")
    time.sleep(_RELOAD)
