"""Tables for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_table(stdout: Any, table: Table) -> None:
    """Print to a command's ``stdout``: fitted to a terminal, never cut where there is none."""
    console = Console(file=stdout, soft_wrap=True) if stdout.isatty() else Console(file=stdout, width=10_000)
    console.print(table, crop=False)
