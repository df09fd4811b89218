"""What happened: requests, and what was wrong with them."""

from __future__ import annotations

import threading
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

#: Kinds of problems. Each of them ends the run as failed.
LEAK = "leak"  # another tenant's canary or price, in a body or a header
LOG = "log"  # another tenant's canary in a line of the server's log
TROUBLE = "trouble"  # in the server's log: an error that no client may cause
STORED = "stored"  # another tenant's canary in a database
LOST = "lost"  # an acknowledged write that is not there
EXTRA = "extra"  # a row, or a change, that nobody acknowledged and nobody can have made
WRONG = "wrong"  # an answer that is not what was written
STATUS = "status"  # an answer that the operation cannot have
BROKEN = "broken"  # no answer at all, or half of one
OPEN = "open"  # a transaction that nobody ends


@dataclass
class Figures:
    """The requests to one server. Counted by many threads, each time under one lock."""

    server: str
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    left: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("f")))
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def answered(self, op: str, status: int, seconds: float) -> None:
        with self._lock:
            self.answers[op, status] += 1
            self.seconds[op].append(seconds)

    def left_early(self, op: str, cut: str) -> None:
        with self._lock:
            self.left[op, cut] += 1

    @property
    def requests(self) -> int:
        return self.answers.total() + self.left.total()

    @property
    def busy(self) -> int:
        """How often the server answered that it cannot now."""
        return sum(count for (_, status), count in self.answers.items() if status == 503)

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "left": self.left.total(),
            "busy": self.busy,
            "by_op": self._by_op(),
            "facts": self.facts,
        }

    def _by_op(self) -> dict[str, dict[str, int]]:
        by_op: dict[str, dict[str, int]] = defaultdict(dict)
        for (op, status), count in sorted(self.answers.items()):
            by_op[op][str(status)] = count
        for (op, cut), count in sorted(self.left.items()):
            by_op[op][cut] = count
        return dict(by_op)

    def as_lines(self) -> list[str]:
        """A table with a line for each operation."""
        lines = [f"{self.server:<18}{'requests':>9}{'left':>7}{'p50 ms':>9}{'p99 ms':>9}  answers"]
        for op, counts in sorted(self._by_op().items()):
            times = sorted(self.seconds[op])
            left = sum(count for name, count in counts.items() if not name.isdigit())
            shown = ", ".join(f"{status}: {count:,}" for status, count in counts.items() if status.isdigit())
            lines.append(
                f"{op:<18}{sum(counts.values()):>9,}{left:>7,}"
                f"{_percentile(times, 0.50):>9.1f}{_percentile(times, 0.99):>9.1f}  {shown}"
            )
        share = self.left.total() / max(self.requests, 1)
        facts = "".join(f", {name} {value}" for name, value in self.facts.items())
        return [
            *lines,
            f"{'all':<18}{self.requests:>9,}{self.left.total():>7,} ({share:.0%}), 503: {self.busy}{facts}",
        ]


@dataclass
class Report:
    """One swarm: its servers' figures, and what was wrong."""

    name: str
    servers: dict[str, Figures] = field(default_factory=dict)
    lost_writes: Counter[str] = field(default_factory=Counter)
    facts: dict[str, Any] = field(default_factory=dict)
    #: How many of each kind, and the first few in words.
    problems: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def settled(self, outcome: str) -> None:
        """What became of a write whose answer was lost: ``found`` or ``not found``."""
        with self._lock:
            self.lost_writes[outcome] += 1

    def problem(self, kind: str, sentence: str) -> None:
        with self._lock:
            self.problems[kind] += 1
            # The first of each kind tell more than many of one.
            if self.problems[kind] <= 10:
                self.examples.append(f"{kind}: {sentence[:600]}")

    @property
    def requests(self) -> int:
        return sum(figures.requests for figures in self.servers.values())

    @property
    def is_clean(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "requests": self.requests,
            "servers": {server: figures.as_json() for server, figures in self.servers.items()},
            "lost_writes": dict(self.lost_writes),
            "problems": dict(self.problems),
            "examples": self.examples,
            "facts": self.facts,
        }

    def as_text(self) -> str:
        lines = []
        for figures in self.servers.values():
            lines += [*figures.as_lines(), ""]
        lost = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.lost_writes.items()))
        facts = "".join(f", {name} {value}" for name, value in self.facts.items())
        return "\n".join(
            [
                *lines,
                f"{self.name}: {self.requests:,} requests{facts}",
                f"Writes whose answer was lost: {lost or 'none'}",
                f"Problems: {dict(self.problems)}" if self.problems else "No problems",
                *self.examples,
            ]
        )


def _percentile(times: list[float], share: float) -> float:
    return 1000 * times[min(int(len(times) * share), len(times) - 1)] if times else 0.0
