"""Where somebody is signed in: seen by them alone, and ended by them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.testing import databases, only_tenants
from users.families import end_families, open_family
from users.models import TokenFamily
from users.origin import Origin
from users.testing import PASSWORD

pytestmark = databases("control")


def signed_in(user, tenant_id, **origin):
    pair = open_family(user, tenant_id, Origin(**origin))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    return client


def sessions(client):
    response = client.get("/api/me/sessions/")
    assert response.status_code == 200
    return response.json()["results"]


def test_one_sees_where_one_is_signed_in_and_nobody_elses(cast):
    here = signed_in(cast.grace, "acme", address="192.0.2.7", user_agent="Firefox on a train")
    signed_in(cast.grace, "globex")
    signed_in(cast.ada, "acme")
    found = sessions(here)
    assert [(one["tenant"], one["is_current"]) for one in found] == [
        ({"id": "globex", "name": "Globex"}, False),
        ({"id": "acme", "name": "Acme Corporation"}, True),
    ]
    assert (found[1]["address"], found[1]["user_agent"]) == ("192.0.2.7", "Firefox on a train")
    assert set(found[0]) == {
        *("id", "tenant", "created_at", "used_at", "ends_at"),
        *("address", "user_agent", "is_current"),
    }


def test_signing_in_notes_from_where():
    client = APIClient()
    body = {"email": "nobody@example.com", "password": "x"}
    client.post("/api/token/", body, REMOTE_ADDR="192.0.2.1")
    assert Event.objects.get().address == "192.0.2.1"


def test_what_is_over_is_not_there(cast, clock):
    here = signed_in(cast.ada, "acme")
    end_families(
        TokenFamily.objects.filter(pk=signed_in(cast.ada, "acme") and TokenFamily.objects.first().pk)
    )
    expired = TokenFamily.objects.create(
        user=cast.ada, tenant_id="acme", auth_hash=cast.ada.get_session_auth_hash(), expires_at=clock.now()
    )
    idle = TokenFamily.objects.create(
        user=cast.ada,
        tenant_id="acme",
        auth_hash=cast.ada.get_session_auth_hash(),
        expires_at=clock.now() + timedelta(days=1),
        used_at=clock.now() - timedelta(hours=13),
    )
    assert len(sessions(here)) == 1
    for family in (expired, idle):
        assert here.delete(f"/api/me/sessions/{family.pk}/").status_code == 404


def test_one_is_ended_at_once_and_the_others_live(cast):
    here, there = signed_in(cast.grace, "acme"), signed_in(cast.grace, "globex")
    other = next(one for one in sessions(here) if not one["is_current"])
    assert here.delete(f"/api/me/sessions/{other['id']}/").status_code == 204
    assert there.get("/api/me/").status_code == 401
    assert here.get("/api/me/").status_code == 200
    event = Event.objects.get(action="session.revoked")
    assert (event.tenant_id, event.target, event.actor) == ("globex", other["id"], "grace@example.com")


def test_nobody_ends_anothers(cast):
    here = signed_in(cast.bob, "globex")
    signed_in(cast.ada, "acme")
    hers = TokenFamily.objects.get(user=cast.ada)
    answers = [here.delete(f"/api/me/sessions/{key}/") for key in (hers.pk, uuid.uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    hers.refresh_from_db()
    assert hers.revoked_at is None


@pytest.mark.parametrize(("query", "stays"), [("", False), ("?keep_current=true", True)])
def test_all_are_ended_but_the_one_that_is_kept(cast, query, stays):
    here, there = signed_in(cast.grace, "acme"), signed_in(cast.grace, "globex")
    bystander = signed_in(cast.ada, "acme")
    assert here.delete(f"/api/me/sessions/{query}").status_code == 204
    assert there.get("/api/me/").status_code == 401
    assert here.get("/api/me/").status_code == (200 if stays else 401)
    assert bystander.get("/api/me/").status_code == 200
    assert Event.objects.get(action="session.revoked").details == {"sessions": 1 if stays else 2}


def test_nonsense_is_refused_and_ends_nothing(cast):
    here = signed_in(cast.ada, "acme")
    for query in ("?keep_current=perhaps", "?keep=true", "?page=1"):
        assert here.delete(f"/api/me/sessions/{query}").status_code == 400
    assert here.get("/api/me/sessions/?keep_current=true").status_code == 400
    assert here.get("/api/me/").status_code == 200


def test_a_session_in_a_tenant_that_is_gone_can_be_seen_and_ended(cast):
    here = signed_in(cast.grace, "acme")
    signed_in(cast.grace, "globex")
    with only_tenants("acme"):
        assert [one["tenant"]["name"] for one in sessions(here)] == ["", "Acme Corporation"]


def test_expired_rows_are_cleaned_and_living_ones_stay(cast, clock):
    open_family(cast.ada, "acme")
    open_family(cast.bob, "globex")
    end_families(TokenFamily.objects.filter(user=cast.bob))
    APIClient().post("/api/token/", {"email": "ada@example.com", "password": "wrong"})
    clock.advance(hours=11)
    call_command("flushexpired", stdout=StringIO())
    assert TokenFamily.objects.count() == 2, "What is over is kept for a day."
    clock.advance(hours=14)
    open_family(cast.grace, "acme")
    out = StringIO()
    call_command("flushexpired", stdout=out)
    assert "1 session" in out.getvalue()
    clock.advance(days=1)
    call_command("flushexpired", stdout=out)
    assert not TokenFamily.objects.exclude(user=cast.grace).exists()
    assert TokenFamily.objects.get().user == cast.grace


def test_a_sign_in_and_a_sign_out_are_on_record(cast):
    answer = APIClient().post("/api/token/", {"email": "ada@example.com", "password": PASSWORD})
    APIClient().post("/api/token/revoke/", {"refresh": answer.json()["refresh"]})
    found = Event.objects.order_by("at").values_list("action", "outcome", "tenant_id", "actor_id")
    assert list(found) == [
        ("sign_in", "ok", "acme", str(cast.ada.pk)),
        ("sign_out", "ok", "acme", str(cast.ada.pk)),
    ]
