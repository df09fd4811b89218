"""What operators do is in the trail of each tenant they did it to."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connections

from tenancy.audit.models import Actor, Event
from tenancy.fleet import Outcome, Result
from tenancy.management.verbs.recorded import recorded
from tenancy.tenant import Tenant
from tenancy.testing import databases, empty_database
from tests.tenancy.command import report, tenants

pytestmark = databases("control", "acme", "globex", "initech", transaction=True)


def events(action):
    found = Event.objects.filter(action=action)
    assert {event.actor_kind for event in found} <= {Actor.OPERATOR}
    return sorted((event.tenant_id, event.target, event.outcome) for event in found)


def outcomes(number, result=Result.OK):
    return [Outcome(Tenant(f"t{each:04}", "T"), result, error="secret words") for each in range(number)]


def test_many_are_written_in_few_statements(django_assert_max_num_queries):
    # SQLite takes fewer values in one statement.
    most = 9 if connections["control"].vendor == "postgresql" else 25
    with django_assert_max_num_queries(most, using="control"), recorded("report.run", "r") as note:
        for outcome in outcomes(1200):
            note(outcome)
    assert Event.objects.count() == 1200


def test_where_nothing_was_done_nothing_is_asked(django_assert_num_queries):
    with django_assert_num_queries(0, using="control"), recorded("report.run"):
        pass


def test_what_was_done_until_an_error_is_there():
    def work():
        with recorded("report.run", "r") as note:
            note(outcomes(1)[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert events("report.run") == [("t0000", "r", "ok")]


def test_a_failure_is_told_in_a_word():
    with recorded("report.run", "r") as note:
        note(outcomes(1, Result.UNREACHABLE)[0])
    (event,) = Event.objects.all()
    assert (event.outcome, event.severity, event.details) == ("failed", "warning", {"result": "unreachable"})


def test_what_was_not_tried_is_not_told():
    with recorded("report.run", "r") as note:
        note(outcomes(1, Result.SKIPPED)[0])
    assert not Event.objects.exists()


def test_a_trail_that_cannot_be_written_stops_nobody(monkeypatch, caplog):
    def refuse(*args, **kwargs):
        with connections["control"].cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")

    monkeypatch.setattr("tenancy.rows._add", refuse)
    with recorded("report.run") as note:
        note(outcomes(1)[0])
    assert "report.run could not be recorded in the audit trail" in caplog.text
    assert not Event.objects.exists()  # can be asked: the transaction around it, the test's, goes on


def test_a_report_is_in_the_trail_of_each_tenant_that_was_asked():
    report("inventory", "acme", "globex")
    assert events("report.run") == [("acme", "inventory", "ok"), ("globex", "inventory", "ok")]


def test_migrate_of_one_database_tells_what_changed(tmp_path):
    with empty_database("acme", tmp_path):
        for _ in range(2):
            call_command("migrate", database="acme", verbosity=0)
    (event,) = Event.objects.filter(action="tenant.migrated")
    assert event.tenant_id == "acme"
    assert event.details["applied"] > 0
    assert event.details["unapplied"] == 0


def test_migrate_of_many_tells_of_those_that_it_changed(tmp_path):
    with empty_database("acme", tmp_path):
        assert tenants("migrate", "acme", "globex")[0] == 0
        assert tenants("migrate", "acme", "globex")[0] == 0
    assert events("tenant.migrated") == [("acme", "", "ok")]


def test_provision_tells_of_those_that_it_made(tmp_path):
    with empty_database("acme", tmp_path):
        for _ in range(2):
            assert tenants("provision", "acme")[0] == 0
    assert events("tenant.provisioned") == [("acme", "", "ok")]
