from __future__ import annotations

from benchmarks.instrument import Estimate
from benchmarks.requests import shape
from benchmarks.result import Goal


def test_a_goal_is_met_by_the_end_of_the_interval_not_by_its_middle():
    found = Estimate(1.08, 1.04, 1.12)
    assert not Goal.ratio_at_most("ours", 1.1, found).is_met
    assert Goal.ratio_at_most("ours", 1.12, found).is_met
    assert not Goal.ratio_at_least("theirs", 1.05, found).is_met
    assert Goal.ratio_at_least("theirs", 1.04, found).is_met
    assert Goal.ratio_at_most("ours", 1.1, found).found.startswith("1.08 (1.04")


def test_never_meets_no_goal():
    goal = Goal.at_most("served again", 2, float("inf"), " s")
    assert (goal.found, goal.is_met) == ("never", False)


def test_answers_are_alike_when_names_and_counts_are():
    headers = {"Content-Type": "application/json"}
    page = {"count": 200, "next": None, "previous": None, "results": [{"id": "1"}] * 20}
    other = page | {"results": [{"id": "2"}] * 20}
    assert shape(200, headers, page) == shape(200, headers, other)
    assert shape(200, headers, page) != shape(200, headers, page | {"count": 199})
    assert shape(200, headers, page) != shape(200, headers, page | {"results": [{"key": "1"}] * 20})
