"""Who reads the audit trail: owners that of their tenant, staff all of it; and nobody writes it."""

from __future__ import annotations

import time
import uuid

import pytest
from django.db import DatabaseError, InterfaceError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.audit.trail import SERVICE, operator, record
from tenancy.testing import databases
from users import refusals
from users.api_keys import create
from users.models import Membership, Role
from users.testing import PASSWORD

pytestmark = databases("control", "acme")


def refusal(response):
    return response.status_code, response.json()["code"]


@pytest.fixture
def events():
    for tenant_id in ("acme", "globex", ""):
        for target in ("one", "two"):
            record("report.run", SERVICE, tenant_id=tenant_id, target=f"{target} of {tenant_id}")


def test_an_owner_sees_that_of_their_tenant(cast, ada, events):
    found = ada.get("/api/audit/").json()["results"]
    assert [event["action"] for event in found] == ["report.run", "report.run", "sign_in"]
    assert [event["target"] for event in found[:2]] == ["two of acme", "one of acme"]
    assert found[2]["actor"] == "ada@example.com"
    assert set(found[0]) == {
        *("id", "at", "action", "outcome", "severity", "actor_kind", "actor_id", "actor"),
        *("target", "address", "request_id", "details"),
    }


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER, Role.VIEWER])
def test_others_do_not(cast, events, role):
    Membership.objects.filter(user=cast.grace, tenant_id="acme").update(role=role)
    assert refusal(cast.client(cast.grace, "acme").get("/api/audit/")) == (403, "forbidden")


def test_who_the_operator_is_is_not_theirs_to_know(ada):
    record("tenant.migrated", operator(), tenant_id="acme")
    (seen,) = ada.get("/api/audit/?action=tenant.migrated").json()["results"]
    assert (seen["actor_kind"], seen["actor_id"], seen["actor"]) == ("operator", "", "")
    assert ada.get("/api/audit/", {"actor_id": operator().id}).json()["results"] == []


def test_it_is_filtered(cast, ada, events):
    def targets(**query):
        return [event["target"] for event in ada.get("/api/audit/", query).json()["results"]]

    assert targets(action="report.run") == ["two of acme", "one of acme"]
    assert targets(action="report.run", actor_id=str(cast.ada.pk)) == []
    at = Event.objects.get(target="two of acme").at.isoformat().replace("+00:00", "Z")
    assert targets(action="report.run", since=at) == ["two of acme"]
    assert targets(action="report.run", until=at) == ["one of acme"]
    assert targets(outcome="refused") == []
    for nonsense in ({"action": "x"}, {"outcome": "x"}, {"since": "yesterday"}, {"tenant": "globex"}):
        assert refusal(ada.get("/api/audit/", nonsense)) == (400, "invalid")
    assert targets(action="report.run", since="9999-12-31T23:59:59-23:00") == []
    assert targets(action="report.run", since="0001-01-01T00:00:00+14:00") == ["two of acme", "one of acme"]
    assert refusal(ada.get("/api/audit/", {"since": "9" * 50})) == (400, "invalid")


def test_an_outsider_writes_nothing_into_it(cast, ada):
    bob = cast.client(cast.bob, "globex")
    assert refusal(bob.post("/api/token/switch/", {"tenant_id": "acme"})) == (403, "tenant_forbidden")
    body = {"email": "bob@example.com", "password": PASSWORD, "tenant_id": "acme"}
    assert refusal(APIClient().post("/api/token/", body)) == (403, "tenant_forbidden")
    assert "bob" not in ada.get("/api/audit/").content.decode()
    assert Event.objects.filter(outcome="refused", target="acme", tenant_id="").count() == 2


def refused():
    events = Event.objects.filter(action="access.refused").order_by("at")
    return [(event.tenant_id, event.actor, event.target, event.details) for event in events]


def test_what_a_role_is_refused_is_in_it(cast, ada, grace):
    where = f"/api/products/{uuid.uuid4()}/"
    assert refusal(grace.delete(where)) == (403, "forbidden")
    assert refusal(grace.get("/api/members/")) == (403, "forbidden")
    assert refused() == [
        ("acme", "grace@example.com", f"DELETE {where}", {"role": "viewer"}),
        ("acme", "grace@example.com", "GET /api/members/", {"role": "viewer"}),
    ]
    (seen, _) = ada.get("/api/audit/?action=access.refused").json()["results"]
    assert (seen["outcome"], seen["target"]) == ("refused", "GET /api/members/")


def test_what_a_key_is_refused_is_in_it(cast):
    key, text = create("acme", "Job", Role.MEMBER, None, maker=cast.ada, who=SERVICE)
    client = APIClient(headers={"Authorization": f"Api-Key {text}"})
    assert refusal(client.get("/api/me/")) == (403, "person_required")
    assert refused() == [("acme", f"Job ({key.prefix})", "GET /api/me/", {"role": "member"})]


def test_what_is_allowed_is_no_refusal(ada, grace):
    assert grace.get("/api/products/").status_code == 200
    assert ada.get("/api/members/").status_code == 200
    assert refused() == []


def test_a_call_that_is_tried_again_and_again_is_in_it_once(cast, grace, monkeypatch):
    now = time.time() // refusals.ONCE_IN * refusals.ONCE_IN
    monkeypatch.setattr(refusals.time, "time", lambda: now)
    for _ in range(3):
        assert refusal(grace.delete(f"/api/products/{uuid.uuid4()}/")) == (403, "forbidden")
    assert len(refused()) == 1
    assert refusal(cast.client(cast.grace, "acme").delete(f"/api/products/{uuid.uuid4()}/"))[0] == 403
    assert len(refused()) == 1, "In another session, it is the same person."
    refusals._noted.clear()  # as in another process
    assert refusal(grace.delete(f"/api/products/{uuid.uuid4()}/"))[0] == 403
    assert len(refused()) == 1
    now += refusals.ONCE_IN
    assert refusal(grace.delete(f"/api/products/{uuid.uuid4()}/"))[0] == 403
    assert len(refused()) == 2


def test_what_many_are_refused_is_not_remembered_for_ever(grace, monkeypatch):
    monkeypatch.setattr(refusals, "_MOST", 1)
    refusals._noted.clear()
    for path in ("/api/members/", "/api/keys/", "/api/members/"):
        assert refusal(grace.get(path)) == (403, "forbidden")
        assert len(refusals._noted) == 1
    assert len(refused()) == 2


@pytest.mark.parametrize("method", ["FOO", "AAAB", "OPTIONS", "TRACE"])
def test_a_method_that_there_is_not_is_no_refusal(cast, grace, method):
    _, text = create("acme", "Job", Role.VIEWER, None, maker=cast.ada, who=SERVICE)
    machine = APIClient(headers={"Authorization": f"Api-Key {text}"})
    for client, path in ((grace, "/api/products/"), (machine, "/api/products/"), (machine, "/api/me/")):
        assert client.generic(method, path).status_code in (403, 405)
    assert refused() == []


def test_what_a_service_refuses_is_in_it(cast):
    """Though it refuses inside a transaction."""
    Membership.objects.filter(user=cast.grace, tenant_id="acme").update(role=Role.ADMIN)
    grace = cast.client(cast.grace, "acme")
    myself, ada = (f"/api/members/{user.pk}/" for user in (cast.grace, cast.ada))
    assert refusal(grace.patch(myself, {"role": "owner"})) == (403, "forbidden")
    assert refusal(grace.delete(ada)) == (403, "forbidden")
    owner = {"email": "new@example.com", "role": "owner"}
    assert refusal(grace.post("/api/invitations/", owner)) == (403, "forbidden")
    assert [target for _, _, target, _ in refused()] == [
        *(f"PATCH {myself}", f"DELETE {ada}", "POST /api/invitations/")
    ]


@pytest.mark.parametrize("end", ["%00", "%0A", "%F0%9F%92%A9", "x" * 400, "ada@example,com"])
def test_what_stands_in_the_place_of_an_id_and_is_none_is_not_kept(grace, end):
    assert refusal(grace.delete(f"/api/products/{end}/")) == (403, "forbidden")
    assert [target for _, _, target, _ in refused()] == ["DELETE /api/products/(pk)/"]


@pytest.mark.parametrize("error", [DatabaseError, InterfaceError])
def test_a_refusal_that_cannot_be_recorded_is_one(cast, grace, monkeypatch, caplog, error):
    def fails(*args, **kwargs):
        raise error("no room")

    monkeypatch.setattr(Event.objects, "bulk_create", fails)
    assert refusal(grace.get("/api/members/")) == (403, "forbidden")
    assert "access.refused could not be recorded" in caplog.text


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_there_is_no_way_to_write_it(ada, events, method):
    assert refusal(getattr(ada, method)("/api/audit/")) == (405, "method_not_allowed")


def test_staff_see_all_and_change_nothing(cast, events):
    cast.eve.is_staff = cast.eve.is_superuser = True
    cast.eve.save()
    client = Client()
    client.force_login(cast.eve)
    page = client.get(reverse("admin:audit_event_changelist"), secure=True)
    for tenant_id in ("acme", "globex"):
        assert f"one of {tenant_id}" in page.content.decode()
    event = Event.objects.first()
    assert client.get(reverse("admin:audit_event_add"), secure=True).status_code == 403
    assert client.get(reverse("admin:audit_event_change", args=[event.pk]), secure=True).status_code == 200
    assert client.post(reverse("admin:audit_event_delete", args=[event.pk]), secure=True).status_code == 403
