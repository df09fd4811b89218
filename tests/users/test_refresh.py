"""Refreshing: each token once, and a second use ends the session it belongs to."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connections
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, only_tenants
from tests.users import forge
from users.families import FamilyEnded, TokenSpent, end_family, open_family, refresh_family
from users.models import Membership, TokenFamily
from users.testing import PASSWORD
from users.tokens import Claims, TenantRefreshToken


def refresh(token):
    return APIClient().post("/api/token/refresh/", {"refresh": token})


def access_status(token):
    return APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {token}").status_code


def refusal(response):
    return response.status_code, response.json()["code"]


ended = (401, "token_not_valid")


@databases("control")
def test_it_gives_the_next_pair_of_the_same_session(cast):
    first = open_family(cast.ada, "acme")
    response = refresh(first.refresh)
    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    assert response["Cache-Control"] == "no-store"
    before, after = forge.claims_of(first.refresh), forge.claims_of(response.json()["refresh"])
    assert {name: before[name] for name in ("sub", "sid", "tenant_id")} == {
        name: after[name] for name in ("sub", "sid", "tenant_id")
    }
    assert before["jti"] != after["jti"]
    assert access_status(response.json()["access"]) == 200
    assert access_status(first.access) == 200, "A living access token stays good until it expires."


@databases("control")
def test_it_can_go_on_and_on(cast):
    token = open_family(cast.ada, "acme").refresh
    for _ in range(5):
        response = refresh(token)
        assert response.status_code == 200
        token = response.json()["refresh"]
    assert TokenFamily.objects.count() == 1


@databases("control")
def test_a_second_use_ends_the_family_and_all_that_came_of_it(cast):
    first = open_family(cast.ada, "acme")
    second = refresh(first.refresh).json()
    other = open_family(cast.ada, "acme")
    assert refusal(refresh(first.refresh)) == ended
    assert refusal(refresh(second["refresh"])) == ended
    assert access_status(first.access) == access_status(second["access"]) == 401
    assert access_status(other.access) == 200, "Another session of hers lives on."
    assert refresh(other.refresh).status_code == 200


@databases("control")
def test_a_token_from_long_before_ends_the_family_too(cast):
    first = latest = open_family(cast.ada, "acme").refresh
    for _ in range(3):
        latest = refresh(latest).json()["refresh"]
    assert refusal(refresh(first)) == ended
    assert refusal(refresh(latest)) == ended


@databases("control")
def test_bad_tokens_are_all_answered_alike(cast):
    revoked, deactivated = open_family(cast.ada, "acme"), open_family(cast.bob, "globex")
    APIClient().post("/api/token/revoke/", {"refresh": revoked.refresh})
    cast.bob.is_active = False
    cast.bob.save()
    deleted = open_family(cast.grace, "acme")
    cast.grace.delete()
    answers = [refresh(token) for token in (revoked.refresh, deactivated.refresh, deleted.refresh, "garbage")]
    assert {refusal(answer) for answer in answers} == {ended}
    assert len({answer.content for answer in answers}) == 1
    assert {answer["WWW-Authenticate"] for answer in answers} == {'Bearer realm="api"'}


@databases("control")
def test_a_user_who_is_active_again_goes_on(cast):
    pair = open_family(cast.ada, "acme")
    cast.ada.is_active = False
    cast.ada.save()
    assert refusal(refresh(pair.refresh)) == ended
    cast.ada.is_active = True
    cast.ada.save()
    assert refresh(pair.refresh).status_code == 200


@databases("control")
def test_a_lost_membership_is_forbidden_and_spends_nothing(cast):
    pair = open_family(cast.ada, "acme")
    role = cast.ada.memberships.get().role
    cast.ada.memberships.all().delete()
    for _ in range(2):
        assert refusal(refresh(pair.refresh)) == (403, "tenant_forbidden")
    Membership.objects.create(user=cast.ada, tenant_id="acme", role=role)
    assert refresh(pair.refresh).status_code == 200


@databases("control")
def test_a_membership_elsewhere_does_not_help(cast):
    pair = open_family(cast.grace, "acme")
    cast.grace.memberships.filter(tenant_id="acme").delete()
    assert refusal(refresh(pair.refresh)) == (403, "tenant_forbidden")


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.READ_ONLY])
@databases("control")
def test_it_works_while_the_tenant_is_closed(cast, status):
    pair = open_family(cast.ada, "acme")
    with changed_tenant("acme", status=status):
        assert refresh(pair.refresh).status_code == 200


@databases("control")
def test_a_password_change_ends_every_session_at_once(cast):
    pairs = [open_family(cast.grace, tenant_id) for tenant_id in ("acme", "globex", "globex")]
    bystander = open_family(cast.ada, "acme")
    cast.grace.set_password("another-long-password")
    cast.grace.save()
    for pair in pairs:
        assert refusal(refresh(pair.refresh)) == ended
        assert access_status(pair.access) == 401
    assert access_status(bystander.access) == 200
    assert access_status(open_family(cast.grace, "acme").access) == 200, "The new password opens new ones."


@databases("control")
def test_a_refresh_token_never_outlives_its_family(cast, clock):
    response = APIClient().post("/api/token/", {"email": "ada@example.com", "password": PASSWORD})
    token = response.json()["refresh"]
    end = TokenFamily.objects.get().expires_at
    assert timedelta(days=6, hours=23) < end - clock.now() <= timedelta(days=7)
    for _ in range(15):
        clock.advance(hours=11)
        response = refresh(token)
        assert response.status_code == 200
        token = response.json()["refresh"]
        claims = forge.claims_of(token)
        assert claims["exp"] == min(claims["iat"] + 12 * 3600, int(end.timestamp()))
    assert claims["exp"] == int(end.timestamp()), "The last one was cut short."
    access = response.json()["access"]
    clock.advance(hours=3, minutes=1)
    assert clock.now() > end
    assert refusal(refresh(token)) == ended
    assert access_status(access) == 401


@databases("control")
def test_an_access_token_ends_with_its_family_even_before_its_time(cast, clock):
    pair = open_family(cast.ada, "acme")
    clock.advance(minutes=1)
    assert access_status(pair.access) == 200
    TokenFamily.objects.update(expires_at=clock.now())
    assert access_status(pair.access) == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"refresh": None},
        {"refresh": ""},
        {"refresh": 1},
        {"refresh": True},
        {"refresh": ["a.b.c"]},
        {"refresh": {}},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["refresh", "revoke"])
@databases("control")
def test_a_malformed_body_is_refused(path, body):
    response = APIClient().post(f"/api/token/{path}/", body)
    assert refusal(response) == (400, "invalid")
    assert set(response.json()["errors"]) == {"refresh"}


@pytest.mark.parametrize("token", ["a\0b", "a\ud800b"], ids=ascii)
@pytest.mark.parametrize("path", ["refresh", "revoke"])
@databases("control")
def test_text_that_no_database_takes_is_refused(path, token):
    response = APIClient().post(
        f"/api/token/{path}/", json.dumps({"refresh": token}), content_type="application/json"
    )
    assert refusal(response) == (400, "invalid")


@pytest.mark.parametrize("path", ["refresh", "revoke"])
@databases("control")
def test_an_unknown_field_is_refused_and_nothing_is_spent(cast, path):
    pair = open_family(cast.ada, "acme")
    response = APIClient().post(f"/api/token/{path}/", {"refresh": pair.refresh, "tenant_id": "globex"})
    assert refusal(response) == (400, "invalid")
    assert refresh(pair.refresh).status_code == 200


@databases("control", transaction=True)
@override_settings(TENANCY_POOL_WAIT=20)  # nine threads, eight connections, and a disk that may be slow
def test_of_eight_at_once_exactly_one_wins(cast):
    """Threads, each with a connection of its own, because one connection cannot race with itself."""
    # SQLite lets one in at a time, which leaves little to race for.
    rounds, racers = (100 if connections["control"].vendor == "postgresql" else 20), 8
    tokens = [open_family(cast.ada, "acme").refresh for _ in range(rounds)]
    barrier = threading.Barrier(racers)
    answers = [[] for _ in range(rounds)]

    def race():
        client = APIClient(raise_request_exception=False)
        try:
            for token, results in zip(tokens, answers, strict=True):
                barrier.wait(timeout=30)
                response = client.post("/api/token/refresh/", {"refresh": token})
                results.append((response.status_code, response.json().get("code")))
        except BaseException:
            barrier.abort()
            raise
        finally:
            connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = Counter({(200, None): 1, (401, "token_not_valid"): racers - 1})
    assert [Counter(results) for results in answers] == [expected] * rounds
    # A loser that came while the winner was under way ends nothing; one that came after it ends the session.
    assert TokenFamily.objects.count() == rounds


@databases("control")
def test_a_tenant_that_is_gone_is_forbidden_and_nothing_is_spent(cast):
    pair = open_family(cast.ada, "acme")
    client = APIClient()
    with only_tenants("globex"):
        response = client.post("/api/token/refresh/", {"refresh": pair.refresh})
        assert (response.status_code, response.json()["code"]) == (403, "tenant_forbidden")
    assert client.post("/api/token/refresh/", {"refresh": pair.refresh}).status_code == 200


@databases("control")
def test_a_family_ends_for_its_own_user_only(cast):
    open_family(cast.ada, "acme")
    family = TokenFamily.objects.get()
    end_family(Claims(user_id=cast.bob.pk, tenant_id="acme", family_id=family.pk, token_id="x"))
    family.refresh_from_db()
    assert family.revoked_at is None


KEY = "8c1f0f3a-retry-0001"


def refresh_again(token, key):
    return APIClient().post("/api/token/refresh/", {"refresh": token}, headers={"Idempotency-Key": key})


@databases("control")
def test_a_client_that_lost_the_answer_asks_again_with_its_key(cast):
    first = open_family(cast.ada, "acme")
    answers = [refresh_again(first.refresh, KEY) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    ids = {forge.claims_of(answer.json()["refresh"])["jti"] for answer in answers}
    assert len(ids) == 1, "One token, however often it was asked for."
    assert ids != {forge.claims_of(first.refresh)["jti"]}
    assert access_status(answers[2].json()["access"]) == 200
    assert refresh(answers[1].json()["refresh"]).status_code == 200


@pytest.mark.parametrize("key", [None, "8c1f0f3a-retry-0002"], ids=["no key", "another key"])
@databases("control")
def test_whoever_has_the_token_and_not_the_key_ends_the_family(cast, key):
    first = open_family(cast.ada, "acme")
    second = refresh_again(first.refresh, KEY).json()
    assert refusal(refresh_again(first.refresh, key) if key else refresh(first.refresh)) == ended
    assert access_status(second["access"]) == 401


@databases("control")
def test_a_retry_is_served_for_half_a_minute(cast, clock):
    first = open_family(cast.ada, "acme")
    assert refresh_again(first.refresh, KEY).status_code == 200
    clock.advance(seconds=25)
    assert refresh_again(first.refresh, KEY).status_code == 200
    clock.advance(seconds=10)
    assert refusal(refresh_again(first.refresh, KEY)) == ended


@databases("control")
def test_a_retry_after_the_next_token_was_used_ends_the_family(cast):
    first = open_family(cast.ada, "acme")
    second = refresh_again(first.refresh, KEY).json()
    assert refresh(second["refresh"]).status_code == 200
    assert refusal(refresh_again(first.refresh, KEY)) == ended


@pytest.mark.parametrize("key", ["short", "with a space in it, and long", "x" * 129, "ümlaut-ümlaut-ümlaut"])
@databases("control")
def test_a_key_that_could_be_guessed_is_refused_and_nothing_is_spent(cast, key):
    first = open_family(cast.ada, "acme")
    response = APIClient().post("/api/token/refresh/", {"refresh": first.refresh}, HTTP_IDEMPOTENCY_KEY=key)
    assert refusal(response) == (400, "invalid")
    assert refresh(first.refresh).status_code == 200


@databases("control")
def test_one_that_came_while_the_other_was_under_way_ends_nothing(cast):
    first = open_family(cast.ada, "acme")
    claims = Claims.of(TenantRefreshToken(first.refresh))
    before = timezone.now()
    second = refresh_family(claims)
    with pytest.raises(TokenSpent):
        refresh_family(claims, asked_at=before)
    assert refresh(second.refresh).status_code == 200
    # Longer than a request takes it says nothing, and nothing of a token that was spent before that one.
    with pytest.raises(FamilyEnded):
        refresh_family(claims, asked_at=before)
    assert not TokenFamily.objects.filter(revoked_at=None).exists()


@databases("control")
def test_a_session_that_nobody_uses_is_over(cast, clock):
    pair = open_family(cast.ada, "acme")
    family = TokenFamily.objects.get()
    assert family.is_alive()
    clock.advance(hours=12, seconds=16)
    assert not family.is_alive()
    assert refusal(refresh(pair.refresh)) == ended


@databases("control")
def test_what_was_reused_is_on_record(cast):
    first = open_family(cast.ada, "acme")
    refresh(first.refresh)
    for _ in range(3):
        refresh(first.refresh)
    event = Event.objects.get(action="token.reused")
    assert (event.actor_id, event.tenant_id, event.severity) == (str(cast.ada.pk), "acme", "warning")
    assert event.token_id == forge.claims_of(first.refresh)["sid"]
