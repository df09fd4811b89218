"""Merging parts is the same as aggregating everything at once."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from fractions import Fraction
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenancy.reports.columns import Column
from tenancy.reports.merges import Count, Distinct, Max, Mean, Min, Sum, merged
from tenancy.reports.report import Report
from tenancy.reports.totals import Totals

COLUMNS = (
    Column("currency", key=True),
    Column("whole", int, Sum()),
    Column("money", Decimal, Sum()),
    Column("number", float, Sum()),
    Column("least", Decimal, Min()),
    Column("latest", datetime.date, Max()),
    Column("counted", merge=Count()),
    Column("different", merge=Distinct()),
    Column("several", int, Distinct()),
    Column("mean", Decimal, Mean("whole"), places=4),
    Column("drift", float, Mean("whole")),
    Column("detail"),
)
REPORT = Report("r", COLUMNS, list)

maybe = partial(st.one_of, st.none())
whole = st.integers(0, 10**12)
money = st.decimals(-(10**15), 10**15, places=2)
number = st.floats(-1e12, 1e12, allow_nan=False)
raw = st.fixed_dictionaries(
    {
        "currency": maybe(st.sampled_from(["EUR", "USD"])),
        "whole": maybe(whole),
        "money": maybe(money),
        "number": maybe(number),
        "least": maybe(money),
        "latest": maybe(st.dates()),
        "counted": maybe(st.text(max_size=3)),
        "different": maybe(st.sampled_from("abc")),
        "several": maybe(st.lists(st.integers(0, 5), max_size=4)),
        "mean": maybe(money),
        "drift": maybe(number),
        "detail": maybe(st.text(max_size=3)),
    }
)
tenants = st.lists(st.lists(raw, max_size=6), max_size=5)


def totals(parts):
    """Each tenant merges its own rows; those merge with each other."""
    found = Totals(REPORT)
    for rows in parts:
        one = Totals(REPORT)
        one.add(REPORT._row(row) for row in rows)
        found.combine(one)
    return found.rows()


def aggregates(rows):
    """The same, over all rows at once, by other means."""
    groups = {}
    for row in rows:
        groups.setdefault(row["currency"], []).append(row)
    found = []
    for currency in sorted(groups, key=lambda name: (name is not None, name or "")):
        group = groups[currency]

        def values(name, group=group):
            return [row[name] for row in group if row[name] is not None]

        def mean(name, group=group):
            pairs = [
                (Fraction(row[name]), row["whole"])
                for row in group
                if row[name] is not None and row["whole"] is not None
            ]
            weight = sum(weight for _, weight in pairs)
            return sum(value * weight for value, weight in pairs) / weight if weight else None

        exact_mean, exact_drift = mean("mean"), mean("drift")
        found.append(
            (
                currency,
                sum(values("whole")) if values("whole") else None,
                sum(values("money"), Decimal("0.00")) if values("money") else None,
                # Rounded once, which is more than sum() promises.
                math.fsum(values("number")) if values("number") else None,
                min(values("least"), default=None),
                max(values("latest"), default=None),
                len(values("counted")),
                len(set(values("different"))),
                len({one for several in values("several") for one in several}),
                None if exact_mean is None else Decimal(round(exact_mean * 10**4)).scaleb(-4),
                None if exact_drift is None else float(exact_drift),
            )
        )
    return found


@settings(deadline=None)  # of a busy machine
@given(tenants)
@example([[], []])
def test_parts_merge_to_the_aggregates_of_all_rows(parts):
    assert totals(parts) == aggregates([row for rows in parts for row in rows])


@settings(deadline=None)  # of a busy machine
@given(tenants, st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_parts_matter(parts, random):
    rows = [row for rows in parts for row in rows]
    before = totals(parts)
    random.shuffle(rows)
    cut = random.randint(0, len(rows))
    assert totals([rows[:cut], rows[cut:]]) == before


def test_the_comparison_can_fail():
    """The negative control: a mean of means without their weights is another number."""
    rows = [[{**blank(), "mean": Decimal(1), "whole": 1}], [{**blank(), "mean": Decimal(4), "whole": 2}]]
    (row,) = totals(rows)
    assert row[9] == Decimal("3.0000")
    assert row[9] != Decimal("2.5")


def blank():
    return {column.name: None for column in COLUMNS}


def test_a_sum_of_floats_does_not_depend_on_who_answers_first():
    ones = [1e16, 1.0, -1e16]
    assert {merged(Sum(), [(value, None) for value in order]) for order in (ones, ones[::-1])} == {1}


def test_money_of_any_size_is_added_exactly():
    huge = Decimal("1" + "0" * 40 + ".01")
    assert merged(Sum(), [(huge, None), (Decimal("0.01"), None)]) == Decimal("1" + "0" * 40 + ".02")


@pytest.mark.parametrize(
    ("merge", "nothing"),
    [(Sum(), None), (Min(), None), (Max(), None), (Count(), 0), (Distinct(), 0), (Mean("n"), None)],
)
def test_nothing_merges_as_in_sql(merge, nothing):
    assert merged(merge, []) == nothing
    assert merged(merge, [(None, 1)]) == nothing


def test_a_weight_below_zero_is_refused():
    with pytest.raises(ValueError, match="the weight 'n' is below zero"):
        merged(Mean("n"), [(1, -1)])


def test_what_weighs_nothing_counts_for_nothing():
    assert merged(Mean("n"), [(Decimal(5), 0), (Decimal(7), None)]) is None
    assert merged(Mean("n"), [(Decimal(5), 0), (Decimal(7), 2)]) == 7
