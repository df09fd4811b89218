"""How a result is written: each format by a function of what was found and where it goes.

All of them read the rows one tenant at a time, so that a result of any size is written in little memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenancy.reports.collected import Collected
from tenancy.reports.formats import delimited, document, lines, page, parquet, table

#: Writes a result to a text stream; with ``totals_only`` nothing of a single tenant but whether it answered.
Format = Callable[..., None]

FORMATS: dict[str, Format] = {
    "table": table.write,
    "csv": delimited.write,
    "json": document.write,
    "jsonl": lines.write,
    "html": page.write,
    "parquet": parquet.write,
}

#: Bytes that a terminal cannot show: written to a file only.
BINARY = frozenset({"parquet"})

_SUFFIXES = {f".{name}": name for name in FORMATS} | {".ndjson": "jsonl", ".htm": "html", ".txt": "table"}


def format_of(file: Path | None) -> str | None:
    """The format that a file's name asks for, a table for no name at all; None for one that is unknown."""
    return _SUFFIXES.get(file.suffix.lower()) if file else "table"


def write(found: Collected, stream: Any, name: str, *, totals_only: bool = False) -> None:
    FORMATS[name](found, stream, totals_only=totals_only)
