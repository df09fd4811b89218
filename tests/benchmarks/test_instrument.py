from __future__ import annotations

import random

import pytest

from benchmarks.instrument import Estimate, Timing, ratio


def timings(*walls: float) -> list[Timing]:
    return [Timing(wall, wall / 2) for wall in walls]


def test_an_interval_holds_its_median():
    dice = random.Random(7)
    found = Estimate.of([dice.gauss(10, 1) for _ in range(60)])
    assert found.low <= found.median <= found.high
    assert found.low == pytest.approx(10, abs=0.6)
    assert found.high == pytest.approx(10, abs=0.6)


def test_a_ratio_is_that_of_each_round_not_of_the_medians():
    # The machine was three times as slow in every second round; ours took half as long again in all.
    theirs = timings(100, 300, 100, 300, 100, 300, 300)
    mine = timings(*(timing.wall * 1.5 for timing in theirs))
    assert ratio(mine, theirs) == Estimate(1.5, 1.5, 1.5)


def test_a_ratio_can_be_of_processor_time():
    assert ratio([Timing(9, 4)] * 30, [Timing(1, 2)] * 30, "processor").median == 2


def test_rounds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        ratio(timings(1, 2), timings(1))
