"""A signature is verified once; everything else is asked every time."""

from __future__ import annotations

import gc
from unittest import mock

import jwt
import pytest
from rest_framework.test import APIClient
from rest_framework_simplejwt.exceptions import TokenError

from tenancy.testing import databases
from tests.users import forge
from users import tokens
from users.families import open_family
from users.keys import KeyRing, create_key, key_ring, load_keys
from users.models import Membership
from users.tokens import KeyRingBackend, TenantAccessToken
from users.verified import Verified, VerifiedTokens

pytestmark = databases("control", "acme", "globex")


@pytest.fixture(autouse=True)
def verified(monkeypatch):
    fresh = VerifiedTokens()
    monkeypatch.setattr(tokens, "verified_tokens", fresh)
    return fresh


@pytest.fixture
def signatures():
    """How often one was verified."""
    with mock.patch.object(tokens.jwt, "decode", side_effect=jwt.decode) as decode:
        yield decode


@pytest.fixture
def pair(cast):
    return open_family(cast.ada, "acme")


def use(token):
    return APIClient().get("/api/products/", HTTP_AUTHORIZATION=f"Bearer {token}").status_code


def test_the_signature_of_an_access_token_is_verified_once(pair, signatures):
    assert [use(pair.access) for _ in range(5)] == [200] * 5
    assert signatures.call_count == 1


def test_a_token_that_differs_in_one_character_is_not_taken_for_it(pair, signatures):
    assert use(pair.access) == 200
    for position in (0, len(pair.access) // 2, -1):
        letters = list(pair.access)
        letters[position] = "A" if letters[position] != "A" else "B"
        assert use("".join(letters)) == 401
    assert use(pair.access + "A") == 401
    assert use(pair.access.lower()) == 401


def test_its_time_is_over_when_it_is_over(pair, monkeypatch, signatures):
    assert use(pair.access) == 200
    with pytest.MonkeyPatch.context() as patch:
        from rest_framework_simplejwt import tokens as simplejwt

        real = simplejwt.aware_utcnow
        patch.setattr(simplejwt, "aware_utcnow", lambda: real() + tokens.TenantAccessToken.lifetime * 2)
        assert use(pair.access) == 401
    assert signatures.call_count == 1


def test_a_membership_that_is_gone_is_gone_at_once(cast, pair):
    assert use(pair.access) == 200
    Membership.objects.filter(user=cast.ada).delete()
    assert use(pair.access) == 403


def test_a_key_that_was_taken_out_of_the_ring_vouches_for_nothing(pair, tmp_path, monkeypatch):
    assert use(pair.access) == 200
    create_key(tmp_path)
    other = load_keys(tmp_path)
    monkeypatch.setattr(tokens, "key_ring", lambda: other)
    assert use(pair.access) == 401
    ours = key_ring()
    # Another key of the same name does not either.
    renamed = KeyRing(ours.algorithm, other.keys, {ours.signing_kid: other.verifying_keys[other.signing_kid]})
    monkeypatch.setattr(tokens, "key_ring", lambda: renamed)
    assert use(pair.access) == 401


def test_another_audience_is_asked_for_anew(pair, settings):
    assert use(pair.access) == 200
    settings.JWT_AUDIENCE = "somebody-else"
    assert use(pair.access) == 401


def test_a_refresh_token_is_not_remembered(pair, verified):
    response = APIClient().post("/api/token/refresh/", {"refresh": pair.refresh})
    assert response.status_code == 200
    assert len(verified) == 0
    assert use(pair.refresh) == 401


def test_what_is_refused_is_not_remembered(pair, verified):
    for token in (
        pair.access[:-4] + "AAAA",
        forge.sign(forge.header_of(pair.access), forge.claims_of(pair.access) | {"jti": "x"}),
    ):
        with pytest.raises(TokenError):
            TenantAccessToken.read(token)
    assert len(verified) == 0


def test_who_changes_the_claims_changes_their_own(pair):
    backend = KeyRingBackend()
    backend.decode(pair.access)["tenant_id"] = "globex"
    backend.decode(pair.access)["tenant_id"] = "globex"
    assert backend.decode(pair.access)["tenant_id"] == "acme"


def test_as_many_are_remembered_as_there_is_room_for_and_no_text_of_any():
    found = VerifiedTokens(size=3)
    keys = {"k": object()}
    for number in range(5):
        text = "secret-text-" + str(number)
        found.remember(text, Verified("k", keys["k"], (), {"number": number}))
    assert len(found) == 3
    assert [found.find(f"secret-text-{number}", keys, ()) for number in range(5)] == [
        None,
        None,
        {"number": 2},
        {"number": 3},
        {"number": 4},
    ]
    gc.collect()
    assert "secret-text" not in repr(vars(found))
