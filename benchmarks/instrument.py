"""Timing on a machine that has other things to do: variants in turn, in one run, compared round by round.

Each variant is a process of its own: what one has run would otherwise decide how fast another is (Python
specialises code for the types that it meets first, and both run Django's). The processes wait for their turn,
so that only one works at a time; a round times each of them once, and its figures have met one weather. What
is reported is the median of the rounds' differences or ratios, with an interval.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

#: Calls before the first that counts, for each case.
WARM_UP = 20


@dataclass(frozen=True)
class Timing:
    """Microseconds a call."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Estimate:
    """A median, and the interval that holds it in 95 of 100 runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Estimate:
        dice = random.Random(1)
        medians = sorted(statistics.median(dice.choices(values, k=len(values))) for _ in range(1000))
        return cls(statistics.median(values), medians[25], medians[974])


class Variant:
    """One way to do the same, in a process of its own: a command whose program ends in ``answer()``."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if environment is None else dict(environment),
        )
        self._process = process
        self._questions, self._answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        self.facts: dict[str, Any] = self._read()  # it is ready

    def time(self, case: str, calls: int) -> Timing:
        return Timing(**self._ask({"case": case, "calls": calls}))

    def look(self, case: str, *arguments: Any) -> Any:
        """What one call of a case returns."""
        return self._ask({"look": case, "arguments": arguments})["found"]

    @property
    def memory(self) -> float:
        """MiB that the process holds now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._questions.write(json.dumps(question) + "\n")
        self._questions.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"The variant '{self.name}' ended with {self._process.wait()}; see above.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Variant:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self._process.terminate()  # it may be in the middle of a long turn
        with suppress(BrokenPipeError):
            self._questions.close()
        self._answers.close()
        self._process.wait()


def answer(
    cases: Mapping[str, Callable[..., Any]],
    after: Mapping[str, Callable[[], Any]] | None = None,
    **facts: Any,
) -> None:
    """The variant's side: say that it is ready, then time what it is asked to until nobody asks any more.

    ``after`` holds what is done after a case was timed, outside the clock.
    """
    out, sys.stdout = sys.stdout, sys.stderr  # what a case prints is not an answer
    out.write(json.dumps(facts) + "\n")
    out.flush()
    warm: set[str] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if case := question.get("look"):
            reply = {"found": cases[case](*question["arguments"])}
        else:
            case = question["case"]
            if case not in warm:
                warm.add(case)
                _timed(cases[case], WARM_UP)
            reply = _timed(cases[case], question["calls"])
        if after and case in after:
            after[case]()
        out.write(json.dumps(reply, default=bytes.decode) + "\n")
        out.flush()


def _timed(call: Callable[[], Any], calls: int) -> dict[str, float]:
    # Garbage of other turns is collected before, and what the calls leave behind counts for them.
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    return {
        "processor": (time.process_time() - processor) / calls * 1e6,
        "wall": (time.perf_counter() - wall) / calls * 1e6,
    }


def in_turn(
    variants: Iterable[Variant],
    case: str,
    rounds: int,
    calls: int | Mapping[str, int],
    say: Callable[[int], None],
) -> dict[str, list[Timing]]:
    """Time a case ``rounds`` times in each variant, in turn and in an order drawn anew for each round, for
    the second finds warmer caches. ``calls`` is for each timing, or for each timing of each variant; ``say``
    is told how many rounds are done."""
    order = list(variants)
    dice = random.Random(case)
    found: dict[str, list[Timing]] = {variant.name: [] for variant in order}
    for number in range(rounds):
        dice.shuffle(order)
        for variant in order:
            count = calls if isinstance(calls, int) else calls[variant.name]
            found[variant.name].append(variant.time(case, count))
        say(number + 1)
    return found


def calls_for(variant: Variant, case: str, seconds: float) -> int:
    """How many calls of a case take about so long; also warms it up. Between 2 and 200."""
    pilot = variant.time(case, 5)
    return max(2, min(200, round(seconds * 1e6 / pilot.wall)))


def ratio(mine: list[Timing], theirs: list[Timing], clock: str = "wall") -> Estimate:
    """How many times as long mine take, round by round. ``clock`` is ``wall`` or ``processor``."""
    return Estimate.of(
        [getattr(one, clock) / getattr(other, clock) for one, other in zip(mine, theirs, strict=True)]
    )
