"""Rows of the ledger and the trail that are added by the hundred are what ``bulk_create()`` makes of them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, IntegrityError, connections
from django.db.models import Count
from django.test.utils import CaptureQueriesContext

from tenancy.audit.models import Event, Outcome, Severity
from tenancy.ledger.models import Entry, Run
from tenancy.rows import add_rows
from tenancy.testing import databases
from tests.settings import ENGINE

pytestmark = databases("control")

#: What a text must be none of: SQL, a placeholder, JSON, or the end of any of them.
TEXTS = [
    "",
    "it's",
    '"',
    "\\",
    "\\'",
    "%s %(name)s %%",
    "{}",
    "NULL",
    "null",
    "\n\t",
    "ü ∞ 🐘",
    "'; --",
    "\\u0041",
]
AT = datetime(2026, 11, 27, 20, 35, 6, 123456, tzinfo=UTC)


@pytest.fixture
def run():
    return Run.objects.create(kind="migrate", tenants=1, user="u", host="h", process="1", heard_at=AT)


def entry(run, number, **more):
    facts = {
        "tenant_id": "acme",
        "result": "ok",
        "way": "replay",
        "before": "",
        "after": "",
        "seconds": 0.125,
    }
    return {"run_id": run.pk, "number": number, "ended_at": AT, **facts, **more}


def events():
    return [
        {
            "id": uuid.UUID(int=number),
            "at": AT,
            "tenant_id": f"t{number}",
            "action": "tenant.migrated",
            "outcome": Outcome.FAILED,
            "severity": Severity.WARNING,
            "actor_kind": "operator",
            "actor": text,
            "target": text,
            "address": ["192.0.2.1", "2001:db8::1", None][number % 3],
            "details": {"text": text, "list": [1, None, {"a": text}], text: True},
        }
        for number, text in enumerate(TEXTS)
    ]


def test_they_are_what_bulk_create_makes(run):
    add_rows(Event, events())
    found = list(Event.objects.order_by("id").values())
    rows = [entry(run, number, error=text) for number, text in enumerate(TEXTS)]
    add_rows(Entry, rows)
    written = list(Entry.objects.order_by("number").values())

    others = [{**row, "id": uuid.UUID(int=row["id"].int + 1000)} for row in events()]
    Event.objects.bulk_create([Event(**row) for row in others])
    expected = Event.objects.filter(id__gte=uuid.UUID(int=1000)).order_by("id").values()
    assert found == [{**row, "id": uuid.UUID(int=row["id"].int - 1000)} for row in expected]
    Entry.objects.bulk_create([Entry(**{**row, "number": row["number"] + 1000}) for row in rows])
    made = Entry.objects.filter(number__gte=1000).order_by("number").values()
    assert [{**row, "id": 0} for row in written] == [
        {**row, "id": 0, "number": row["number"] - 1000} for row in made
    ]
    assert [row["error"] for row in written] == TEXTS


def test_what_is_left_out_is_the_default(run):
    add_rows(Event, [{"action": "sign_in", "actor_kind": "person"}] * 2)
    one, two = Event.objects.all()
    assert one.id != two.id
    assert (one.severity, one.target, one.address, one.details) == ("info", "", None, {})
    assert abs((one.at - two.at).total_seconds()) < 60
    add_rows(Entry, [{"run_id": run.pk, "tenant_id": "acme", "result": "ok", "way": "", "seconds": 0}])
    assert Entry.objects.get().number is None


def test_many_are_a_few_statements_and_all_of_them_are_there(run):
    with CaptureQueriesContext(connections["control"]) as queries:
        add_rows(Entry, [entry(run, number) for number in range(1001)])
    if ENGINE == "postgresql":
        assert len([query for query in queries if "INSERT" in query["sql"]]) == 3
    assert Entry.objects.aggregate(Count("number", distinct=True))["number__count"] == 1001


def test_none_asks_nothing():
    with CaptureQueriesContext(connections["control"]) as queries:
        add_rows(Entry, [])
    assert len(queries) == 0


@pytest.mark.parametrize("more", [{"eror": "x"}, {"run": 1}], ids=["no field's", "an object's"])
def test_a_name_that_is_no_columns_is_refused(run, more):
    with pytest.raises((TypeError, ValueError)):
        add_rows(Entry, [entry(run, 1), entry(run, 2, **more)])
    assert not Entry.objects.exists()


@pytest.mark.parametrize("value", [object, {1}, b"x"], ids=["a class", "a set", "bytes"])
def test_what_json_does_not_hold_is_refused(value):
    with pytest.raises(TypeError):
        add_rows(Event, [{"action": "sign_in", "actor_kind": "person", "details": {"what": value}}])
    assert not Event.objects.exists()


def test_of_rows_that_are_there_none_is_added_or_only_the_others(run):
    add_rows(Entry, [entry(run, 1)])
    with pytest.raises(IntegrityError):
        add_rows(Entry, [*(entry(run, number) for number in range(2, 700)), entry(run, 1)])
    assert [each.number for each in Entry.objects.all()] == [1]
    add_rows(Entry, [entry(run, 1, error="again"), entry(run, 2)], ignore_conflicts=True)
    assert sorted(Entry.objects.values_list("number", "error")) == [(1, ""), (2, "")]


@pytest.mark.skipif(ENGINE == "sqlite", reason="SQLite knows no length of a text.")
def test_a_text_that_is_too_long_is_refused_and_not_cut_off(run):
    with pytest.raises(DatabaseError):
        add_rows(Entry, [entry(run, 1, tenant_id="a" * 41)])
    assert not Entry.objects.exists()
