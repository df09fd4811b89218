from __future__ import annotations

import datetime
import uuid
import zoneinfo
from decimal import Decimal
from fractions import Fraction

import pytest
from django.core.exceptions import ImproperlyConfigured

from tenancy.reports.columns import BadValue, Column
from tenancy.reports.merges import Count, Distinct, Max, Mean, Sum

NOON = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
HERE = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("column", "given", "found"),
    [
        (Column("c"), "x", "x"),
        (Column("c"), uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (Column("c", int), 3, 3),
        (Column("c", int), Decimal("3.0"), 3),
        (Column("c", int), 3.0, 3),
        (Column("c", bool), 1, True),
        (Column("c", Decimal), 0.1 + 0.2, Decimal("0.30")),
        (Column("c", Decimal), 2, Decimal("2.00")),
        (Column("c", Decimal), Decimal("-0.001"), Decimal("0.00")),
        (Column("c", Decimal, places=0), Decimal("2.5"), Decimal(2)),
        (Column("c", Decimal, places=0), Fraction(7, 2), Decimal(4)),
        (Column("c", float), Decimal("1.5"), 1.5),
        (Column("c", datetime.date), "2026-11-26", datetime.date(2026, 11, 26)),
        (Column("c", datetime.datetime), "2026-11-26 12:00:00", NOON),
        (Column("c", datetime.datetime), datetime.datetime(2026, 11, 26, 12), NOON),
        (Column("c", datetime.datetime), NOON.astimezone(HERE), NOON),
        (Column("c", int, Distinct()), [1, 2, None], (1, 2)),
        (Column("c", int), None, None),
    ],
)
def test_a_value_is_of_its_columns_type(column, given, found):
    cleaned = column.clean(given)
    assert cleaned == found
    assert type(cleaned) is type(found)


@pytest.mark.parametrize(
    ("column", "given"),
    [
        (Column("c", int), "3"),
        (Column("c", int), 3.5),
        (Column("c", int), True),
        (Column("c", int), 10**100),
        (Column("c", float), 1e300),
        (Column("c", Decimal), Decimal("1e100")),
        (Column("c"), "\ud800"),
        (Column("c", datetime.datetime), "0001-01-01T00:00:00+02:00"),
        (Column("c", int), float("inf")),
        (Column("c", float), float("nan")),
        (Column("c", float), "1"),
        (Column("c", Decimal), Decimal("NaN")),
        (Column("c", Decimal), float("inf")),
        (Column("c", Decimal), "1.00"),
        (Column("c", Decimal), False),
        (Column("c", bool), 2),
        (Column("c"), 5),
        (Column("c"), b"x"),
        (Column("c", datetime.date), NOON),
        (Column("c", datetime.date), "soon"),
        (Column("c", datetime.datetime), datetime.date(2026, 1, 1)),
        (Column("c", datetime.datetime), 5),
        (Column("c", int), [1]),
    ],
)
def test_another_type_is_refused_without_showing_the_value(column, given):
    with pytest.raises(BadValue) as caught:
        column.clean(given)
    message = str(caught.value)
    assert message == f"column 'c' takes {column.kind.__name__}, and got {type(given).__name__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "tenant"}, "cannot be called 'tenant'"),
        ({"name": "a b"}, "cannot be called 'a b'"),
        ({"name": "c", "places": -1}, "places are 0 to 100"),
        ({"name": "c", "kind": list}, "kind is one of str, int"),
        ({"name": "c", "key": True, "merge": Count()}, "is a key"),
        ({"name": "c", "kind": int, "merge": Sum}, "write Sum"),
        ({"name": "c", "merge": Sum()}, "sum is for int, Decimal, float"),
        ({"name": "c", "kind": int, "merge": Mean("n")}, "a mean is seldom whole"),
    ],
)
def test_a_wrong_column_is_refused_when_it_is_declared(arguments, message):
    with pytest.raises(ImproperlyConfigured, match=message):
        Column(**arguments)


def test_an_hour_that_a_clock_shows_twice_is_two():
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    once, again = (datetime.datetime(2026, 10, 25, 2, fold=fold, tzinfo=berlin) for fold in (0, 1))
    column = Column("c", datetime.datetime, key=True)
    assert column.clean(once) != column.clean(again)
    assert [column.plain(column.clean(each)) for each in (once, again)] == [
        "2026-10-25T00:00:00Z",
        "2026-10-25T01:00:00Z",
    ]


def test_a_terminal_obeys_nothing_of_a_tenants():
    assert Column("c").shown("\x1b[2Ja\x9b\rb") == "?[2Ja??b"


def test_machines_get_plain_values():
    assert Column("c", Decimal).plain(Decimal("1E+3")) == "1000"
    assert Column("c", datetime.datetime).plain(NOON) == "2026-11-26T12:00:00Z"
    assert Column("c", datetime.date).plain(NOON.date()) == "2026-11-26"
    assert Column("c", int, Distinct()).plain((1, 1, 2)) == 2
    assert Column("c").plain(None) is None


def test_people_get_values_to_read():
    assert Column("c", Decimal).shown(Decimal("-1234567.50")) == "-1,234,567.50"
    assert Column("c", int).shown(1234) == "1,234"
    assert Column("c", float).shown(0.1 + 0.2) == "0.3"
    assert Column("c", bool).shown(False) == "no"
    assert Column("c", datetime.datetime, Max()).shown(NOON) == "2026-11-26 12:00"
    assert Column("c").shown(None) == ""
    assert Column("c", int, Distinct()).shown((1, 1, 2)) == "2"
