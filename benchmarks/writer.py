"""Results as tables on stdout, and as JSON in a file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.result import Goal, Result, Table
from benchmarks.stage import ROOT

PACKAGES = (
    "Django",
    "djangorestframework",
    "djangorestframework-simplejwt",
    "psycopg2-binary",
    "django-tenants",
)


def write(results: list[Result], file: Path | None) -> Path:
    """Keep what has been found so far; returns where. By default the day and the commit name the file."""
    facts = _facts()
    file = file or ROOT / "benchmarks" / "results" / f"{facts['date'][:10]}-{facts['commit'][:10]}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(file.read_text()) if file.exists() else {}
    parts = before.get("parts", {}) | {result.name: _part(result) for result in results}
    file.write_text(json.dumps({**facts, "parts": parts}, indent=1, ensure_ascii=False) + "\n")
    return file


def _part(result: Result) -> dict[str, Any]:
    return {"figures": result.figures, "goals": [asdict(goal) for goal in result.goals]}


def _facts() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {"Python": platform.python_version(), "PostgreSQL": "18"}
        | {name: version(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def show(results: list[Result], file: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    for result in results:
        for table in result.tables:
            console.print(as_rich(table))
            console.print()
    goals = [goal for result in results for goal in result.goals]
    if goals:
        console.print(as_rich(goals_table(goals)))
        console.print(f"\n{sum(goal.is_met for goal in goals)} of {len(goals)} goals met.")
    console.print(f"The figures are in {os.path.relpath(file)}.", soft_wrap=True)


def goals_table(goals: list[Goal]) -> Table:
    table = Table("Goals", ("goal", "wanted", "found", ""))
    for goal in goals:
        table.add(goal.what, goal.wanted, goal.found, "met" if goal.is_met else "NOT MET")
    return table


def as_rich(table: Table) -> RichTable:
    found = RichTable(title=table.title, title_justify="left", box=None)
    previous: tuple[str, ...] = ()
    for number, column in enumerate(table.columns):
        is_text = all(not row[number][:1].isdigit() for row in table.rows)
        found.add_column(column, justify="left" if is_text else "right", overflow="fold")
    for row in table.rows:
        # A group is named once.
        repeats = previous and row[0] == previous[0] and len(table.rows) > len({r[0] for r in table.rows})
        found.add_row("" if repeats else row[0], *row[1:])
        previous = row
    return found
