"""Percentiles and the most frequent values: exact where small, and within their error where not."""

from __future__ import annotations

import random
import sys
from collections import Counter
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given, settings
from hypothesis import strategies as st

from tenancy.reports.columns import Column
from tenancy.reports.report import Report
from tenancy.reports.sketches import ACCURACY, Percentile, Top
from tenancy.reports.totals import Totals

REPORT = Report(
    "r",
    (
        Column("median", Decimal, Percentile(50)),
        Column("most", float, Percentile(100)),
        Column("names", merge=Top(2)),
    ),
    list,
)


def totals(parts):
    found = Totals(REPORT)
    for part in parts:
        one = Totals(REPORT)
        one.add(part)
        found.combine(one)
    return found.rows()


values = st.integers(-1000, 1000)


@settings(deadline=None)  # of a busy machine
@given(st.lists(st.lists(st.tuples(values, st.sampled_from("abc")), max_size=40), min_size=1, max_size=5))
def test_few_rows_are_answered_exactly_however_they_are_split(parts):
    assert sum(map(len, parts)) <= ACCURACY
    found = totals([[(Decimal(n), float(n), name) for n, name in part] for part in parts])
    numbers = sorted(n for part in parts for n, _ in part)
    if not numbers:
        assert found == []
        return
    names = Counter(name for part in parts for _, name in part)
    top = sorted(names.items(), key=lambda pair: (-pair[1], pair[0]))[:2]
    (row,) = found
    # percentile_disc: the first value that has at least half of all values up to it.
    assert row[0] == numbers[(len(numbers) + 1) // 2 - 1]
    assert row[1] == numbers[-1]
    assert row[2] == ", ".join(f"{name} {count}" for name, count in top)


def test_many_rows_are_answered_within_the_error():
    dice = random.Random(1)
    numbers = [dice.lognormvariate(3, 2) for _ in range(20_000)]
    names = [f"n{int(dice.paretovariate(1))}" for _ in numbers]
    rows = [(Decimal(n).quantize(Decimal("0.01")), n, name) for n, name in zip(numbers, names, strict=True)]
    (row,) = totals([rows[start : start + 500] for start in range(0, len(rows), 500)])
    rank = sum(number <= float(row[0]) for number in numbers) / len(numbers)
    assert abs(rank - 0.5) < 0.04  # three times the error that 99 of 100 sketches stay below
    assert row[1] == max(numbers)
    counts = Counter(names).most_common(2)
    assert row[2] == ", ".join(f"{name} {count:,}" for name, count in counts)


def test_what_they_need_is_told_when_they_are_declared(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketches", None)
    with pytest.raises(ImproperlyConfigured, match="'percentile 95' needs the package 'datasketches'"):
        Percentile(95)
    with pytest.raises(ImproperlyConfigured, match="'top 3' needs the package"):
        Top(3)


@pytest.mark.parametrize(
    "make", [lambda: Percentile(101), lambda: Percentile(-1), lambda: Top(0), lambda: Top(101)]
)
def test_what_cannot_be_is_refused(make):
    with pytest.raises(ImproperlyConfigured):
        make()


def test_the_top_is_of_texts():
    with pytest.raises(ImproperlyConfigured):
        Column("n", int, Top(3))
