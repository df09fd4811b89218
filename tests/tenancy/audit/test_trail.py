"""The audit trail: what is in an event, and that it stays as it was written."""

from __future__ import annotations

import uuid

import pytest
from django.db import DatabaseError, connections, transaction
from django.test import RequestFactory

from tenancy.audit import observers, trail
from tenancy.audit.models import Event
from tenancy.audit.trail import SERVICE, Who, operator, record, try_to_record
from tenancy.context import tenant_context
from tenancy.exceptions import NoTenant, WrongTenant
from tenancy.registry import get_registry
from tenancy.testing import databases
from tenancy.transactions import control_atomic
from tests.settings import ENGINE

pytestmark = databases("control")


def test_an_event_says_who_did_what_where_and_from_where():
    who = Who("person", "7", "ada@example.com", "192.0.2.1", "token")
    with tenant_context("acme"):
        record("member.removed", who, target="bob@example.com", details={"role": "viewer"})
    event = Event.objects.get()
    assert (event.tenant_id, event.action, event.outcome, event.severity) == (
        *("acme", "member.removed"),
        *("ok", "info"),
    )
    assert (event.actor_kind, event.actor_id, event.actor) == ("person", "7", "ada@example.com")
    assert (event.target, event.address, event.token_id) == ("bob@example.com", "192.0.2.1", "token")
    assert event.details == {"role": "viewer"}


def test_an_action_that_nobody_knows_is_a_mistake():
    with pytest.raises(ValueError, match=r"'member\.remove' is no action"):
        record("member.remove", SERVICE)


def test_what_is_too_long_is_cut_and_not_lost():
    record("report.run", Who("operator", "x" * 900, "y" * 900), target="z" * 900)
    assert len(Event.objects.get().target) == 300


def raw(statement):
    with connections["control"].cursor() as cursor:
        cursor.execute(statement)


CHANGES = {
    "update": lambda: Event.objects.update(target="after"),
    "delete": lambda: Event.objects.all()._raw_delete("control"),
    **({} if ENGINE == "sqlite" else {"truncate": lambda: raw("TRUNCATE audit_event")}),
    "raw update": lambda: raw("UPDATE audit_event SET target = 'after'"),
    "raw delete": lambda: raw("DELETE FROM audit_event"),
}
COLUMNS = [field.column for field in Event._meta.fields]
FORGED = ", ".join("'after'" if column == "target" else column for column in COLUMNS)


@pytest.mark.skipif(ENGINE != "sqlite", reason="PostgreSQL replaces no row that is there.")
def test_nobody_replaces_an_event():
    record("report.run", SERVICE, target="before")
    raw(f"INSERT OR REPLACE INTO audit_event ({', '.join(COLUMNS)}) SELECT {FORGED} FROM audit_event")
    assert Event.objects.get().target == "before"


@pytest.mark.parametrize("change", CHANGES)
def test_nobody_changes_or_deletes_an_event(change):
    record("report.run", SERVICE, target="before")
    with pytest.raises(DatabaseError, match="append-only"), control_atomic():
        CHANGES[change]()
    assert Event.objects.get().target == "before"


@pytest.mark.skipif(ENGINE != "postgresql", reason="SQLite has no rights.")
def test_on_postgresql_the_tables_owner_may_add_and_read_only():
    """The service's role is no superuser: here it is asked what such an owner could do."""
    connection = connections["control"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT privilege_type FROM information_schema.role_table_grants "
            "WHERE table_name = 'audit_event' AND grantee = current_user"
        )
        assert {row[0] for row in cursor.fetchall()} == {"INSERT", "SELECT"}
        cursor.execute(
            "SELECT privilege_type FROM information_schema.role_table_grants "
            "WHERE table_name = 'users_user' AND grantee = current_user"
        )
        assert {"UPDATE", "DELETE"} <= {row[0] for row in cursor.fetchall()}, "The control."


def test_what_is_rolled_back_was_not_done_and_is_not_recorded():
    with control_atomic():
        record("member.removed", SERVICE)
        transaction.set_rollback(True, using="control")
    assert not Event.objects.exists()


def test_one_id_is_one_event():
    key = uuid.uuid4()
    for _ in range(3):
        record("registry.changed", SERVICE, id=key)
    assert Event.objects.count() == 1


def test_what_happened_anyway_is_in_the_log_if_it_cannot_be_recorded(monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise DatabaseError("no room")

    monkeypatch.setattr(trail, "record", fail)
    try_to_record("tenant.migrated", SERVICE)
    assert "tenant.migrated could not be recorded in the audit trail: no room" in caplog.text


@pytest.mark.parametrize("error", [NoTenant(), WrongTenant("It", "acme", "globex")], ids=["none", "wrong"])
def test_code_that_asks_for_another_tenants_data_is_critical(error):
    observers.note_breach(error, RequestFactory().get("/api/products/"))
    event = Event.objects.get()
    assert (event.action, event.severity, event.outcome) == ("isolation.breached", "critical", "refused")
    assert event.target == type(error).__name__
    assert event.details == {"method": "GET", "path": "/api/products/"}


def test_other_errors_are_none_of_its_business():
    observers.note_breach(ValueError("x"))
    assert not Event.objects.exists()


def test_a_breach_in_a_request_is_recorded(client, monkeypatch):
    from tenancy import views

    def broken(*args):
        raise NoTenant("This view")

    monkeypatch.setattr(views, "get_registry", broken)
    client.raise_request_exception = False
    assert client.get("/readyz").status_code == 500
    assert Event.objects.get().details == {"method": "GET", "path": "/readyz"}


def test_a_changed_registry_is_recorded_once_by_all_processes(monkeypatch):
    monkeypatch.setattr(observers, "_in_thread", lambda function: function())
    registry = get_registry()
    for _ in range(3):
        observers.note_registry_change(
            None, registry, added=frozenset({"b", "a"}), removed=frozenset({"c"}), changed=frozenset()
        )
    event = Event.objects.get()
    assert event.details == {
        "added": {"count": 2, "tenants": ["a", "b"]},
        "removed": {"count": 1, "tenants": ["c"]},
    }
    assert event.severity == "warning"


def test_an_operator_is_named_with_their_machine():
    who = operator()
    assert who.kind == "operator"
    assert who.id.startswith(f"{who.name}@")


def test_a_check_opens_no_database(monkeypatch):
    """Before the first `migrate` there is none; Django's own field asks each SQLite what it can."""
    monkeypatch.setattr(connections["control"], "cursor", None)
    assert Event.check(databases=["control"]) == []
