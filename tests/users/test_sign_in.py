"""Signing in: who gets which tenant, and what everybody else is told."""

# Letters that look alike are the subject.
# ruff: noqa: RUF001

from __future__ import annotations

import json
import logging

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from rest_framework.test import APIClient

from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases
from tests.users import forge
from users.families import TokenPair
from users.models import Membership, Role, TokenFamily
from users.testing import PASSWORD

pytestmark = databases("control", "acme")


def headers(answer):
    """All but the id that every request has for itself."""
    return frozenset(item for item in answer.headers.items() if item[0] != "X-Request-Id")


def sign_in(email="ada@example.com", password=PASSWORD, **more):
    return APIClient().post("/api/token/", {"email": email, "password": password, **more})


def refusal(response):
    return response.status_code, response.json()["code"]


def who_am_i(access):
    return APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {access}").json()


def test_the_only_membership_needs_no_naming(cast):
    response = sign_in("ada@example.com")
    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh", "tenant_id"}
    assert response.json()["tenant_id"] == "acme"
    assert who_am_i(response.json()["access"])["tenant"]["id"] == "acme"


def test_one_of_several_is_named(cast):
    for tenant_id, role in (("acme", "viewer"), ("globex", "admin")):
        body = sign_in("grace@example.com", tenant_id=tenant_id).json()
        assert body["tenant_id"] == tenant_id
        me = who_am_i(body["access"])
        assert (me["tenant"]["id"], me["role"]) == (tenant_id, role)


def test_several_and_none_named_lists_the_users_own_tenants(cast):
    response = sign_in("grace@example.com")
    assert refusal(response) == (400, "tenant_required")
    assert response.json()["tenants"] == [
        {"id": "acme", "name": "Acme Corporation", "role": "viewer"},
        {"id": "globex", "name": "Globex", "role": "admin"},
    ]
    assert not TokenFamily.objects.exists()


def test_a_membership_of_a_tenant_that_is_gone_does_not_count(cast):
    Membership.objects.create(user=cast.ada, tenant_id="gone", role=Role.OWNER)
    assert sign_in("ada@example.com").json()["tenant_id"] == "acme"
    Membership.objects.create(user=cast.eve, tenant_id="gone", role=Role.OWNER)
    assert refusal(sign_in("eve@example.com")) == (403, "tenant_forbidden")


def test_no_membership_not_a_member_and_no_such_tenant_are_one_answer(cast):
    answers = [
        sign_in("eve@example.com"),
        sign_in("eve@example.com", tenant_id="acme"),
        sign_in("bob@example.com", tenant_id="acme"),
        sign_in("bob@example.com", tenant_id="nosuch"),
        sign_in("bob@example.com", tenant_id="GLOBEX"),
        sign_in("bob@example.com", tenant_id="../globex"),
        sign_in("grace@example.com", tenant_id="initech"),
    ]
    assert {refusal(answer) for answer in answers} == {(403, "tenant_forbidden")}
    assert len({answer.content for answer in answers}) == 1
    assert len({headers(answer) for answer in answers}) == 1
    assert not TokenFamily.objects.exists()


def test_only_its_members_learn_that_a_tenant_is_suspended(cast):
    with changed_tenant("acme", status=Status.SUSPENDED):
        assert refusal(sign_in("ada@example.com")) == (403, "tenant_suspended")
        assert refusal(sign_in("ada@example.com", tenant_id="acme")) == (403, "tenant_suspended")
        outsider = sign_in("bob@example.com", tenant_id="acme")
        assert refusal(outsider) == (403, "tenant_forbidden")
        assert outsider.content == sign_in("bob@example.com", tenant_id="nosuch").content
        assert sign_in("grace@example.com", tenant_id="globex").status_code == 200
    assert not TokenFamily.objects.filter(tenant_id="acme").exists()


def test_a_read_only_tenant_can_be_entered(cast):
    with changed_tenant("acme", status=Status.READ_ONLY):
        assert sign_in("ada@example.com").status_code == 200


@pytest.fixture
def hashed(monkeypatch):
    """The passwords that went through the hasher."""
    passwords = []
    encode = MD5PasswordHasher.encode

    def count(self, password, salt):
        passwords.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", count)
    return passwords


def test_any_bad_credential_is_one_answer_after_one_hashing(cast, hashed):
    cast.bob.is_active = False
    cast.bob.save()
    cast.grace.set_unusable_password()
    cast.grace.save()
    attempts = {
        "unknown user": ("nobody@example.com", PASSWORD),
        "not even an address": ("nobody", PASSWORD),
        "wrong password": ("ada@example.com", "wrong"),
        "password in the wrong case": ("ada@example.com", PASSWORD.upper()),
        "password and a space": ("ada@example.com", PASSWORD + " "),
        "inactive, right password": ("bob@example.com", PASSWORD),
        "inactive, wrong password": ("bob@example.com", "wrong"),
        "no usable password": ("grace@example.com", PASSWORD),
        "unknown user, somebody's tenant": ("nobody@example.com", PASSWORD, "acme"),
        "wrong password, own tenant": ("ada@example.com", "wrong", "acme"),
        "wrong password, no such tenant": ("ada@example.com", "wrong", "nosuch"),
    }
    answers = {}
    for name, (email, password, *tenant) in attempts.items():
        hashed.clear()
        answers[name] = sign_in(email, password, **({"tenant_id": tenant[0]} if tenant else {}))
        assert len(hashed) == 1, name
        assert refusal(answers[name]) == (401, "invalid_credentials"), name
        assert answers[name]["WWW-Authenticate"], name
    assert len({answer.content for answer in answers.values()}) == 1
    assert len({headers(answer) for answer in answers.values()}) == 1
    hashed.clear()
    assert sign_in("ada@example.com").status_code == 200
    assert hashed == [PASSWORD], "A good sign-in takes as long as a bad one."


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.com",
        "ADA@Example.COM",
        "  ada@example.com ",
        "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ",
        "ada@example.com\u3000",
    ],
)
def test_case_width_and_spaces_of_the_address_do_not_matter(cast, email):
    assert sign_in(email).status_code == 200


@pytest.mark.parametrize("email", ["\u0251da@example.com", "a\u200bda@example.com", "ada@example.com."])
def test_an_address_that_only_looks_alike_is_somebody_else(cast, email):
    assert refusal(sign_in(email)) == (401, "invalid_credentials")


def test_spaces_of_the_password_matter(cast):
    cast.ada.set_password(" spaces around it ")
    cast.ada.save()
    assert sign_in(password=" spaces around it ").status_code == 200
    assert sign_in(password="spaces around it").status_code == 401


GOOD = {"email": "ada@example.com", "password": PASSWORD}
_MISSING = object()

BAD_BODIES = {
    **{
        f"{name} {label}": {name: value}
        for name in ("email", "password", "tenant_id")
        for label, value in {
            "null": None,
            "true": True,
            "number": 5,
            "fraction": 1.5,
            "list": ["ada@example.com"],
            "object": {"$ne": ""},
            "empty": "",
            "NUL": "a\0b",
            "lone surrogate": "a\ud800b",
        }.items()
    },
    "email missing": {"email": _MISSING},
    "password missing": {"password": _MISSING},
    "email blank": {"email": "   "},
    "email of 255 characters": {"email": "a" * 243 + "@example.com"},
    "password of 1025 characters": {"password": "p" * 1025},
    "password of 200 kB": {"password": "p" * 200_000},
    "tenant_id of 65 characters": {"tenant_id": "a" * 65},
    "unknown field": {"username": "ada"},
    "field in the wrong case": {"Email": "ada@example.com"},
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_malformed_body_is_refused_before_anything_is_hashed(cast, hashed, name):
    body = {key: value for key, value in (GOOD | BAD_BODIES[name]).items() if value is not _MISSING}
    response = APIClient().post("/api/token/", json.dumps(body), content_type="application/json")
    assert refusal(response) == (400, "invalid")
    if "surrogate" not in name:  # that one is no JSON text at all, so it has no field
        assert set(response.json()["errors"]) == set(BAD_BODIES[name])
    assert hashed == []
    assert b"ppp" not in response.content
    assert PASSWORD.encode() not in response.content


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '"text"', "1", "{", '{"email": "a", "email": "b"}', "\ufeff{}"]
)
def test_a_body_that_is_no_object_is_refused(cast, text):
    response = APIClient().post("/api/token/", text.encode(), content_type="application/json")
    assert refusal(response) == (400, "invalid")


def test_a_form_is_not_accepted(cast):
    response = APIClient().post(
        "/api/token/",
        f"email=ada%40example.com&password={PASSWORD}",
        content_type="application/x-www-form-urlencoded",
    )
    assert response.status_code == 415


def test_a_password_is_not_read_from_the_address_line(cast):
    assert APIClient().get("/api/token/", GOOD).status_code == 405
    response = APIClient().post(f"/api/token/?email=ada@example.com&password={PASSWORD}", {})
    assert refusal(response) == (400, "invalid")


@pytest.mark.parametrize(
    ("body", "status"),
    [(GOOD, 200), (GOOD | {"password": "wrong"}, 401), ({}, 400), (GOOD | {"tenant_id": "globex"}, 403)],
)
def test_nobody_may_keep_an_answer(cast, body, status):
    response = APIClient().post("/api/token/", body)
    assert response.status_code == status
    assert response["Cache-Control"] == "no-store"


def test_an_old_token_in_the_header_does_not_get_in_the_way(cast):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer expired")
    assert client.post("/api/token/", GOOD).status_code == 200


def test_signing_in_notes_when(cast):
    sign_in()
    cast.ada.refresh_from_db()
    assert cast.ada.last_login is not None


def test_the_family_holds_no_token_and_no_id_of_one(cast):
    body = sign_in().json()
    row = " ".join(str(value) for value in TokenFamily.objects.values().get().values())
    for token in (body["access"], body["refresh"]):
        assert token not in row
    assert forge.claims_of(body["refresh"])["jti"] not in row


def test_a_pair_shows_neither_token():
    pair = TokenPair(access="secret-a", refresh="secret-b")
    assert "secret" not in f"{pair} {pair!r} {[pair]}"


def test_no_log_line_holds_a_password_or_a_token(cast, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("", "django", "django.request", "django.db.backends", "tenancy", "rest_framework_simplejwt"):
        caplog.set_level(logging.DEBUG, logger=name)
    client = APIClient()
    pair = sign_in().json()
    secrets = {PASSWORD, "another-wrong-password", pair["access"], pair["refresh"]}
    assert sign_in(password="another-wrong-password").status_code == 401
    assert sign_in(password=PASSWORD + "\0").status_code == 400
    assert sign_in(tenant_id="globex").status_code == 403
    next_pair = client.post("/api/token/refresh/", {"refresh": pair["refresh"]}).json()
    secrets |= set(next_pair.values())
    assert client.get("/api/products/", HTTP_AUTHORIZATION=f"Bearer {next_pair['access']}").status_code == 200
    assert (
        client.get("/api/products/", HTTP_AUTHORIZATION=f"Bearer {next_pair['refresh']}").status_code == 401
    )
    assert client.post("/api/token/refresh/", {"refresh": pair["refresh"]}).status_code == 401
    assert client.post("/api/token/revoke/", {"refresh": next_pair["refresh"]}).status_code == 204
    text = caplog.text + " ".join(str(record.__dict__) for record in caplog.records)
    assert "Unauthorized: /api/token/" in text, "Nothing was logged, so this test would prove nothing."
    assert not [secret for secret in secrets if secret in text]
    assert not [secret for secret in secrets if secret.rpartition(".")[2] in text]
