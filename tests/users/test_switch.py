"""Switching: from one's own tenant to another of one's own, and nowhere else."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases
from tests.users import forge
from users.models import TokenFamily

pytestmark = databases("control", "acme", "globex")


def switch(client, tenant_id):
    return client.post("/api/token/switch/", {"tenant_id": tenant_id})


def with_token(access):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def refusal(response):
    return response.status_code, response.json()["code"]


def test_it_gives_a_pair_of_a_new_family_in_the_other_tenant(grace, twin_products):
    twin_products()
    response = switch(grace, "globex")
    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh", "tenant_id"}
    assert response.json()["tenant_id"] == "globex"
    assert response["Cache-Control"] == "no-store"
    there = with_token(response.json()["access"])
    assert there.get("/api/me/").json()["role"] == "admin"
    assert [row["name"] for row in there.get("/api/products/").json()["results"]] == ["canary-globex"]
    assert [row["name"] for row in grace.get("/api/products/").json()["results"]] == ["canary-acme"]
    assert TokenFamily.objects.count() == 2
    assert forge.claims_of(response.json()["refresh"])["sid"] == str(
        TokenFamily.objects.get(tenant_id="globex").pk
    )


def test_ending_one_family_leaves_the_other(grace):
    pair = switch(grace, "globex").json()
    APIClient().post("/api/token/revoke/", {"refresh": pair["refresh"]})
    assert with_token(pair["access"]).get("/api/me/").status_code == 401
    assert grace.get("/api/me/").status_code == 200


def test_one_may_switch_to_where_one_is(ada):
    response = switch(ada, "acme")
    assert response.status_code == 200
    assert with_token(response.json()["access"]).get("/api/me/").status_code == 200


def test_not_a_member_and_no_such_tenant_are_one_answer(ada, bob):
    answers = [switch(ada, "globex"), switch(ada, "nosuch"), switch(bob, "acme"), switch(ada, "../acme")]
    assert {refusal(answer) for answer in answers} == {(403, "tenant_forbidden")}
    assert len({answer.content for answer in answers}) == 1
    assert TokenFamily.objects.count() == 2


def test_somebody_without_a_tenant_cannot_even_ask(cast):
    assert refusal(switch(cast.client(cast.eve, "acme"), "acme")) == (403, "tenant_forbidden")


@pytest.mark.parametrize("authorization", [{}, {"HTTP_AUTHORIZATION": "Bearer x"}], ids=["none", "bad"])
def test_it_needs_a_token(authorization):
    response = APIClient().post("/api/token/switch/", {"tenant_id": "acme"}, **authorization)
    assert response.status_code == 401
    assert response["WWW-Authenticate"]


def test_a_suspended_tenant_is_told_to_members_and_hidden_from_others(ada, grace, bob):
    with changed_tenant("globex", status=Status.SUSPENDED):
        assert refusal(switch(grace, "globex")) == (403, "tenant_suspended")
        assert switch(ada, "globex").content == switch(ada, "nosuch").content
        assert refusal(switch(bob, "globex")) == (403, "tenant_suspended")


def test_one_may_leave_a_suspended_tenant(grace):
    with changed_tenant("acme", status=Status.SUSPENDED):
        assert switch(grace, "globex").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tenant_id": None},
        {"tenant_id": ""},
        {"tenant_id": 1},
        {"tenant_id": ["globex"]},
        {"tenant_id": "a\0"},
    ],
    ids=str,
)
def test_a_malformed_body_is_refused(grace, body):
    response = grace.post("/api/token/switch/", body)
    assert refusal(response) == (400, "invalid")
    assert set(response.json()["errors"]) == {"tenant_id"}
