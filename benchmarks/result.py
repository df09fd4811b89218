"""What a part of the benchmarks has found: figures for machines, tables for people, goals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from benchmarks.instrument import Estimate


@dataclass(frozen=True)
class Goal:
    """``wanted`` and ``found`` are as they are shown."""

    what: str
    wanted: str
    found: str
    is_met: bool

    @classmethod
    def at_most(cls, what: str, limit: float, found: float, unit: str = "") -> Goal:
        shown = "never" if math.isinf(found) else f"{found:.3g}{unit}"
        return cls(what, f"≤ {limit:g}{unit}", shown, found <= limit)

    @classmethod
    def at_least(cls, what: str, limit: float, found: float) -> Goal:
        return cls(what, f"≥ {limit:,.0f}", f"{found:,.0f}", found >= limit)

    @classmethod
    def ratio_at_most(cls, what: str, limit: float, found: Estimate) -> Goal:
        """Met when the upper end of the interval is within the limit."""
        return cls(what, f"≤ {limit:g} ×", show(found), found.high <= limit)

    @classmethod
    def ratio_at_least(cls, what: str, limit: float, found: Estimate) -> Goal:
        """Met when the lower end of the interval is."""
        return cls(what, f"≥ {limit:g} ×", show(found), found.low >= limit)


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append(tuple(str(cell) for cell in cells))


@dataclass(frozen=True)
class Result:
    name: str
    figures: dict[str, Any]
    tables: list[Table]
    goals: list[Goal]


def show(found: Estimate) -> str:
    return f"{found.median:.2f} ({found.low:.2f}–{found.high:.2f})"
