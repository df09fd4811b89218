"""Signing out: the whole family dies at once, and only that one."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tenancy.testing import databases
from users.families import open_family
from users.models import TokenFamily

pytestmark = databases("control")


def revoke(token):
    return APIClient().post("/api/token/revoke/", {"refresh": token})


def refresh(token):
    return APIClient().post("/api/token/refresh/", {"refresh": token})


def me(access):
    return APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {access}")


def test_the_access_tokens_of_the_family_die_on_the_next_request(cast):
    first = open_family(cast.ada, "acme")
    second = refresh(first.refresh).json()
    assert me(first.access).status_code == me(second["access"]).status_code == 200
    response = revoke(second["refresh"])
    assert (response.status_code, response.content) == (204, b"")
    assert response["Cache-Control"] == "no-store"
    for access in (first.access, second["access"]):
        assert me(access).status_code == 401
        assert me(access).json()["code"] == "token_not_valid"
    assert refresh(second["refresh"]).status_code == 401


def test_other_families_live_on(cast):
    hers, other, his = (
        open_family(cast.ada, "acme"),
        open_family(cast.ada, "acme"),
        open_family(cast.bob, "globex"),
    )
    revoke(hers.refresh)
    assert me(other.access).status_code == me(his.access).status_code == 200
    assert refresh(other.refresh).status_code == refresh(his.refresh).status_code == 200


def test_twice_is_as_good_as_once(cast):
    pair = open_family(cast.ada, "acme")
    assert revoke(pair.refresh).status_code == 204
    when = TokenFamily.objects.get().revoked_at
    assert revoke(pair.refresh).status_code == 204
    assert TokenFamily.objects.get().revoked_at == when


def test_a_spent_token_ends_its_family_too(cast):
    """Whoever holds it was signed in; ending the session can only help its owner."""
    first = open_family(cast.ada, "acme")
    second = refresh(first.refresh).json()
    assert revoke(first.refresh).status_code == 204
    assert me(second["access"]).status_code == 401


@pytest.mark.parametrize("loss", ["membership", "active"])
def test_one_can_sign_out_after_losing_access(cast, loss):
    pair = open_family(cast.ada, "acme")
    if loss == "membership":
        cast.ada.memberships.all().delete()
    else:
        cast.ada.is_active = False
        cast.ada.save()
    assert revoke(pair.refresh).status_code == 204
    assert TokenFamily.objects.get().revoked_at is not None


def test_a_token_of_a_deleted_user_has_nothing_left_to_end(cast):
    pair = open_family(cast.ada, "acme")
    cast.ada.delete()
    assert revoke(pair.refresh).status_code == 204


@pytest.mark.parametrize("kind", ["access", "garbage"])
def test_what_is_no_refresh_token_ends_nothing(cast, kind):
    pair = open_family(cast.ada, "acme")
    response = revoke(pair.access if kind == "access" else pair.refresh[:-2])
    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"
    assert me(pair.access).status_code == 200
