"""How a result is written: each format by a function of what was found and where it goes.

All of them read the rows one tenant at a time, so that a result of any size is written in little memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from tenancy.reports.collected import Collected
from tenancy.reports.formats import delimited, document, lines, page, table

#: Writes a result to a text stream; with ``totals_only`` nothing of a single tenant but whether it answered.
Format = Callable[..., None]

FORMATS: dict[str, Format] = {
    "table": table.write,
    "csv": delimited.write,
    "json": document.write,
    "jsonl": lines.write,
    "html": page.write,
}

_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".html": "html"}


def format_of(file: Path | None) -> str:
    """The format that a file's name asks for."""
    return _SUFFIXES.get(file.suffix.lower(), "table") if file else "table"


def write(found: Collected, stream: TextIO | Any, name: str, *, totals_only: bool = False) -> None:
    FORMATS[name](found, stream, totals_only=totals_only)
