"""API keys: what they open, what they do not, and when they are over."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from catalog.models import Category
from tenancy.audit.models import Actor, Event
from tenancy.context import current_user_id, tenant_context
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases
from users import api_keys
from users.models import ApiKey, Membership, Role
from users.testing import PASSWORD

pytestmark = databases("control", "acme", "globex")


def machine(text, scheme="Api-Key"):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"{scheme} {text}")
    return client


def make(client, **body):
    response = client.post("/api/keys/", {"name": "Nightly report"} | body)
    assert response.status_code == 201, response.content
    return response.json()


def test_a_key_is_made_and_shown_once(ada):
    made = make(ada, role="member")
    assert made["key"].startswith(f"fh_{made['prefix']}_")
    assert made["is_active"]
    (listed,) = ada.get("/api/keys/").json()["results"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert listed["created_by"] == "ada@example.com"


def test_of_its_text_the_database_has_a_hash(ada):
    text = make(ada)["key"]
    key = ApiKey.objects.get()
    assert key.secret_hash == hashlib.sha256(text.encode()).hexdigest()
    secret = text.split("_", 2)[2]  # which may have one itself
    assert secret not in str([getattr(key, field.attname) for field in key._meta.fields])
    event = Event.objects.get(action="key.created")
    assert secret not in f"{event.target} {event.details}"


def test_nobody_may_keep_the_answer(ada):
    assert ada.post("/api/keys/", {"name": "x"})["Cache-Control"] == "no-store"


def test_it_reads_its_tenant_and_no_other(ada):
    ids = {}
    for tenant_id in ("acme", "globex"):
        with tenant_context(tenant_id):
            ids[tenant_id] = Category.objects.create(name=f"Things of {tenant_id}").pk
    client = machine(make(ada)["key"])
    (found,) = client.get("/api/categories/").json()["results"]
    assert found["name"] == "Things of acme"
    assert client.get(f"/api/categories/{ids['globex']}/").status_code == 404


@pytest.mark.parametrize("scheme", ["Api-Key", "api-key", "API-KEY"])
def test_the_schemes_case_does_not_matter(ada, scheme):
    assert machine(make(ada)["key"], scheme).get("/api/categories/").status_code == 200


def test_one_to_read_does_not_write(ada):
    client = machine(make(ada)["key"])
    response = client.post("/api/categories/", {"name": "New"})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (
        machine(make(ada, role="member")["key"]).post("/api/categories/", {"name": "New"}).status_code == 201
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/me/"),
        ("get", "/api/me/tenants/"),
        ("get", "/api/me/sessions/"),
        ("delete", "/api/me/sessions/"),
        ("post", "/api/token/switch/"),
        ("post", "/api/me/password/"),
        ("get", "/api/members/"),
        ("get", "/api/keys/"),
        ("post", "/api/keys/"),
        ("get", "/api/audit/"),
    ],
)
def test_it_is_no_person(ada, method, path):
    response = getattr(machine(make(ada, role="member")["key"]), method)(path)
    assert (response.status_code, response.json()["code"]) == (403, "person_required")


@pytest.mark.parametrize("role", ["owner", "admin", "", None, "root"])
def test_it_cannot_be_made_to_manage(ada, role):
    response = ada.post("/api/keys/", {"name": "x", "role": role})
    assert (response.status_code, list(response.json()["errors"])) == (400, ["role"])
    with pytest.raises(IntegrityError):
        ApiKey.objects.create(tenant_id="acme", name="x", role="owner", prefix="x", expires_at=timezone.now())


class TestItIsOver:
    def refused(self, client):
        response = client.get("/api/categories/")
        return (response.status_code, response.json().get("code")) == (401, "key_not_valid")

    def test_when_it_is_revoked(self, ada):
        made = make(ada)
        client = machine(made["key"])
        assert not self.refused(client)
        assert ada.delete(f"/api/keys/{made['id']}/").status_code == 204
        assert self.refused(client)
        (listed,) = ada.get("/api/keys/").json()["results"]
        assert not listed["is_active"]
        assert listed["revoked_at"]

    def test_when_it_expires(self, ada):
        client = machine(make(ada)["key"])
        ApiKey.objects.update(expires_at=timezone.now())
        assert self.refused(client)

    def test_when_its_maker_is_removed(self, cast, ada):
        client = machine(make(ada)["key"])
        Membership.objects.filter(user=cast.ada).delete()
        assert self.refused(client)

    def test_and_not_when_its_maker_is_removed_elsewhere(self, cast, ada):
        Membership.objects.create(user=cast.ada, tenant_id="globex", role=Role.MEMBER)
        client = machine(make(ada)["key"])
        Membership.objects.filter(user=cast.ada, tenant_id="globex").delete()
        assert not self.refused(client)

    def test_when_its_maker_belongs_elsewhere_only(self, cast, ada):
        client = machine(make(ada)["key"])
        Membership.objects.filter(user=cast.ada).update(tenant_id="globex")
        assert self.refused(client)

    def test_when_its_maker_was_removed_and_came_back(self, cast, ada):
        client = machine(make(ada)["key"])
        Membership.objects.filter(user=cast.ada).delete()
        Membership.objects.create(user=cast.ada, tenant_id="acme", role=Role.OWNER)
        assert self.refused(client)
        assert not self.refused(machine(make(ada)["key"]))

    def test_when_its_maker_is_deactivated(self, cast, ada):
        client = machine(make(ada)["key"])
        cast.ada.is_active = False
        cast.ada.save()
        assert self.refused(client)

    def test_when_its_maker_is_deleted(self, cast, ada):
        client = machine(make(ada)["key"])
        cast.ada.delete()
        assert self.refused(client)
        assert ApiKey.objects.get().created_by is None

    def test_and_not_when_its_maker_has_another_password(self, cast, ada):
        client = machine(make(ada)["key"])
        ada.post("/api/me/password/", {"current_password": PASSWORD, "new_password": "another-long-one"})
        assert not self.refused(client)


def test_it_does_no_more_than_its_maker_may_now(cast, ada):
    client = machine(make(ada, role="member")["key"])
    Membership.objects.filter(user=cast.ada).update(role=Role.VIEWER)
    assert client.get("/api/categories/").status_code == 200
    assert client.post("/api/categories/", {"name": "New"}).status_code == 403


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.READ_ONLY])
def test_it_follows_the_status_of_its_tenant(ada, status):
    client = machine(make(ada, role="member")["key"])
    with changed_tenant("acme", status=status):
        read, write = client.get("/api/categories/"), client.post("/api/categories/", {"name": "New"})
    assert read.status_code == (403 if status is Status.SUSPENDED else 200)
    assert write.json()["code"] == f"tenant_{status.name.lower()}"


def spoilt(text):
    _, prefix, secret = text.split("_", 2)
    return [
        "",
        " ",
        "fh_",
        text[:-1],
        text + "x",
        text.upper(),
        f"fh_{prefix}_{secret[::-1]}",
        f"fh_aaaaaaaaaaaa_{secret}",
        f"{text} {text}",
        f"{text}\t",
        "fh_\u0661_" + secret,
        "é" * 20,
        "x" * 8000,
    ]


def test_what_is_not_quite_the_key_is_refused(ada):
    text = make(ada)["key"]
    for bad in spoilt(text):
        response = machine(bad.encode().decode("latin-1")).get("/api/categories/")
        if bad.strip() == text:
            continue  # white space around it is none of the key
        assert (response.status_code, response.json()["code"]) == (401, "key_not_valid"), bad
        assert response["WWW-Authenticate"] == 'Api-Key realm="api"'


def test_as_a_token_it_is_none(ada):
    response = machine(make(ada)["key"], "Bearer").get("/api/categories/")
    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")


def test_a_key_asks_the_control_plane_once(ada, django_assert_num_queries):
    client = machine(make(ada)["key"])
    client.get("/api/categories/")
    with django_assert_num_queries(1, using="control"):
        client.get("/api/categories/")


def test_its_last_use_is_kept_to_the_minute(ada):
    client = machine(make(ada)["key"])
    client.get("/api/categories/")
    first = ApiKey.objects.get().last_used_at
    assert timezone.now() - first < timedelta(seconds=10)
    client.get("/api/categories/")
    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=1))
    client.get("/api/categories/")
    assert ApiKey.objects.get().last_used_at >= first


class TestUntilWhen:
    def test_without_a_date_in_ninety_days(self, ada):
        days = parse_datetime(make(ada)["expires_at"]) - timezone.now()
        assert timedelta(days=89) < days <= timedelta(days=90)

    def test_with_a_date_until_then(self, ada):
        wanted = timezone.now() + timedelta(days=7)
        assert parse_datetime(make(ada, expires_at=wanted.isoformat())["expires_at"]) == wanted

    @pytest.mark.parametrize("days", [-1, 0, 366, 100_000])
    def test_not_in_the_past_and_not_for_ever(self, ada, days):
        wanted = timezone.now() + timedelta(days=days)
        response = ada.post("/api/keys/", {"name": "x", "expires_at": wanted.isoformat()})
        assert (response.status_code, list(response.json()["errors"])) == (400, ["expires_at"])


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "x" * 101}, {"name": "two\nlines"}, {"name": "x", "tenant_id": "globex"}],
    ids=str,
)
def test_a_bad_wish_makes_nothing(ada, body):
    assert ada.post("/api/keys/", body).status_code == 400
    assert not ApiKey.objects.exists()


def test_one_too_many_is_refused(ada, monkeypatch):
    monkeypatch.setattr(api_keys, "MOST", 2)
    first = make(ada)
    make(ada)
    response = ada.post("/api/keys/", {"name": "x"})
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    ada.delete(f"/api/keys/{first['id']}/")
    make(ada)


class TestWhoMayMakeOne:
    def test_an_admin_may(self, cast):
        client = cast.client(cast.grace, "globex")
        assert machine(make(client, role="member")["key"]).get("/api/categories/").status_code == 200

    @pytest.mark.parametrize(("name", "tenant_id"), [("grace", "acme"), ("bob", "globex")])
    def test_who_manages_nobody_may_not(self, cast, name, tenant_id):
        client = cast.client(getattr(cast, name), tenant_id)
        for response in (client.get("/api/keys/"), client.post("/api/keys/", {"name": "x"})):
            assert (response.status_code, response.json()["code"]) == (403, "forbidden")

    def test_another_tenants_are_not_there(self, cast, ada):
        made = make(cast.client(cast.grace, "globex"))
        assert ada.get("/api/keys/").json()["results"] == []
        assert ada.delete(f"/api/keys/{made['id']}/").status_code == 404
        assert ApiKey.objects.get().revoked_at is None


class TestTheAuditTrail:
    def test_has_who_made_and_revoked_it(self, cast, ada):
        made = make(ada)
        for _ in range(2):
            ada.delete(f"/api/keys/{made['id']}/")
        events = Event.objects.filter(action__startswith="key.").order_by("at")
        assert [(event.action, event.tenant_id, event.target) for event in events] == [
            ("key.created", "acme", made["prefix"]),
            ("key.revoked", "acme", made["prefix"]),
        ]
        assert {event.actor for event in events} == {"ada@example.com"}
        assert {event.actor_kind for event in events} == {Actor.PERSON}


def test_the_log_says_that_it_is_a_machine(ada, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "catalog.views.CategoryViewSet.get_queryset",
        lambda self: seen.append(current_user_id()) or Category.objects.all(),
    )
    made = make(ada)
    machine(made["key"]).get("/api/categories/")
    assert set(seen) == {f"key:{made['prefix']}"}


def test_what_has_been_over_for_long_is_deleted(ada):
    now = timezone.now()
    for days, field in ((92, "expires_at"), (92, "revoked_at"), (30, "expires_at"), (30, "revoked_at")):
        key = make(ada)
        ApiKey.objects.filter(pk=key["id"]).update(**{field: now - timedelta(days=days)})
    living = make(ada)["id"]
    out = StringIO()
    call_command("flushexpired", stdout=out)
    assert "Deleted 2 API keys." in out.getvalue()
    assert ApiKey.objects.count() == 3
    assert ApiKey.objects.filter(pk=living).exists()
