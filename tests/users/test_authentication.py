"""From a request to a user, a tenant and a role: what counts is what is true now."""

from __future__ import annotations

import pytest
from django.db import connections
from rest_framework.test import APIClient

from tenancy.context import current_tenant
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases
from users.families import open_family
from users.models import Membership, Role, TokenFamily

pytestmark = databases("control", "acme", "globex")

PRODUCTS = "/api/products/"


def get(authorization, path=PRODUCTS, **headers):
    return APIClient().get(path, HTTP_AUTHORIZATION=authorization, **headers)


def refusal(response):
    return response.status_code, response.json()["code"]


@pytest.fixture
def access(cast):
    return open_family(cast.ada, "acme").access


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_case_of_the_scheme_does_not_matter(access, scheme):
    assert get(f"{scheme} {access}").status_code == 200


@pytest.mark.parametrize("authorization", ["  Bearer  {}  ", "Bearer\t{}"])
def test_white_space_around_the_token_does_not_matter(access, authorization):
    assert get(authorization.format(access)).status_code == 200


NO_TOKEN = ["", " ", "Basic YWRhOnNlY3JldA==", "Token {}", "Bearer:{}", "{}", "Bearer={}", "\xff\xfe\x80"]


@pytest.mark.parametrize("authorization", NO_TOKEN, ids=ascii)
def test_what_is_no_bearer_header_is_no_sign_in(access, authorization):
    response = get(authorization.format(access))
    assert refusal(response) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


BAD_HEADERS = {
    "no token": "Bearer",
    "no token, a space": "Bearer ",
    "two words": "Bearer a b",
    "token and a word": "Bearer {} b",
    "two tokens": "Bearer {} {}",
    "two headers joined by a comma": "Bearer {},Bearer {}",
    "two headers joined by a comma and a space": "Bearer {}, Bearer {}",
    "a comma": "Bearer {},",
    "quotes": 'Bearer "{}"',
    "braces": "Bearer {{{}}}",
    "Latin-1 bytes": "Bearer \xff\xfe\x80",
    "Latin-1 bytes behind the token": "Bearer {}\xa0",
    "NUL": "Bearer {}\0",
    "the word null": "Bearer null",
    "the word undefined": "Bearer undefined",
}


@pytest.mark.parametrize("authorization", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_bad_bearer_header_is_a_token_that_is_not_valid(access, authorization):
    response = get(authorization.format(*[access] * authorization.count("{}")).replace("{{", "{"))
    assert refusal(response) == (401, "token_not_valid")
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_header_that_a_server_hands_over_as_bytes_is_read_too(access):
    assert get(f"Bearer {access}".encode()).status_code == 200


@pytest.mark.parametrize("name", ["X-Tenant", "X-Tenant-Id", "x-tenant"])
def test_a_tenant_header_may_agree_with_the_token_but_not_contradict_it(access, name):
    assert get(f"Bearer {access}", headers={name: "acme"}).status_code == 200
    for other in ("globex", "nosuch", "ACME", ""):
        response = get(f"Bearer {access}", headers={name: other})
        assert refusal(response) == (400, "invalid"), other


def test_a_refused_tenant_header_leaves_no_tenant_behind(access):
    get(f"Bearer {access}", headers={"X-Tenant": "globex"})
    assert current_tenant() is None


@pytest.mark.parametrize("path", ["/api/me/", "/api/me/tenants/", PRODUCTS, "/api/categories/"])
def test_it_asks_the_control_plane_once(ada, django_assert_num_queries, path):
    expected = 2 if path == "/api/me/tenants/" else 1  # that one then lists the memberships
    with django_assert_num_queries(expected, connection=connections["control"]):
        assert ada.get(path).status_code == 200


def test_a_refused_token_costs_one_question_at_most(cast, django_assert_num_queries):
    gone = open_family(cast.ada, "acme").access
    TokenFamily.objects.all().delete()
    with django_assert_num_queries(1, connection=connections["control"]):
        assert get(f"Bearer {gone}").status_code == 401
    with django_assert_num_queries(0, connection=connections["control"]):
        assert get(f"Bearer {gone}x").status_code == 401


# At once: each of these acts on the very next request of a living access token.


def product(twin_products):
    return f"{PRODUCTS}{twin_products()[0].pk}/"


def test_a_lost_membership_acts_at_once(cast, ada):
    assert ada.get(PRODUCTS).status_code == 200
    membership = cast.ada.memberships.get()
    membership.delete()
    assert refusal(ada.get(PRODUCTS)) == (403, "tenant_forbidden")
    Membership.objects.create(user=cast.ada, tenant_id="acme", role=Role.OWNER)
    assert ada.get(PRODUCTS).status_code == 200


def test_a_membership_elsewhere_does_not_open_this_tenant(cast, grace):
    cast.grace.memberships.filter(tenant_id="acme").delete()
    assert refusal(grace.get(PRODUCTS)) == (403, "tenant_forbidden")
    assert cast.client(cast.grace, "globex").get(PRODUCTS).status_code == 200


def test_a_lowered_role_acts_at_once_and_so_does_a_raised_one(cast, ada, twin_products):
    path = product(twin_products)
    assert ada.patch(path, {"stock": 4}).status_code == 200
    cast.ada.memberships.update(role=Role.VIEWER)
    assert refusal(ada.patch(path, {"stock": 5})) == (403, "forbidden")
    assert ada.get(path).json()["stock"] == 4
    cast.ada.memberships.update(role=Role.MEMBER)
    assert ada.patch(path, {"stock": 5}).status_code == 200


def test_a_role_elsewhere_does_not_count_here(grace, cast, twin_products):
    path = product(twin_products)
    assert refusal(grace.patch(path, {"stock": 5})) == (403, "forbidden")
    assert cast.client(cast.grace, "globex").patch(path, {"stock": 5}).status_code == 200
    assert grace.get(path).json()["stock"] == 3


def test_deactivation_acts_at_once(cast, ada):
    cast.ada.is_active = False
    cast.ada.save()
    assert refusal(ada.get(PRODUCTS)) == (401, "token_not_valid")
    cast.ada.is_active = True
    cast.ada.save()
    assert ada.get(PRODUCTS).status_code == 200


def test_a_password_change_acts_at_once(cast, ada):
    cast.ada.set_password("another-long-password")
    cast.ada.save()
    assert refusal(ada.get(PRODUCTS)) == (401, "token_not_valid")


def test_deletion_acts_at_once(cast, ada):
    cast.ada.delete()
    response = ada.get(PRODUCTS)
    assert refusal(response) == (401, "token_not_valid")
    assert response["WWW-Authenticate"]


def test_revoking_acts_at_once(cast, ada):
    TokenFamily.objects.get().delete()
    assert refusal(ada.get(PRODUCTS)) == (401, "token_not_valid")


def test_dead_tokens_are_answered_alike_whatever_killed_them(cast):
    tokens = [open_family(user, "acme").access for user in (cast.ada, cast.grace)]
    cast.ada.delete()
    cast.grace.set_password("another-long-password")
    cast.grace.save()
    answers = [get(f"Bearer {token}") for token in [*tokens, "garbage"]]
    assert len({answer.content for answer in answers}) == 1


def test_what_is_no_longer_ones_own_cannot_be_told_from_what_never_was(cast, ada):
    outsider = cast.client(cast.eve, "acme").get(PRODUCTS)
    cast.ada.memberships.all().delete()
    assert ada.get(PRODUCTS).content == outsider.content


def test_the_description_of_the_api_says_how_to_sign_in():
    schema = APIClient().get("/api/schema/").json()
    assert schema["components"]["securitySchemes"]["bearerToken"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `access` token of `POST /api/token/`. It is bound to one tenant.",
    }
    open_calls = {
        path
        for path, calls in schema["paths"].items()
        for call in calls.values()
        if {"bearerToken": []} not in call.get("security", [])
    }
    assert open_calls == {
        "/.well-known/jwks.json",
        "/api/invitations/accept/",
        "/api/password/reset/",
        "/api/password/reset/confirm/",
        "/api/token/",
        "/api/token/refresh/",
        "/api/token/revoke/",
    }


@pytest.mark.parametrize(("status", "expected"), [(Status.ACTIVE, "acme"), (Status.SUSPENDED, None)])
def test_a_suspended_tenant_is_not_entered(ada, monkeypatch, status, expected):
    seen = []

    def own_tenants(user):
        seen.append(getattr(current_tenant(), "id", None))
        return []

    monkeypatch.setattr("users.api.me.own_tenants", own_tenants)
    with changed_tenant("acme", status=status):
        assert ada.get("/api/me/tenants/").status_code == 200
    assert seen == [expected]


def test_a_new_secret_key_ends_no_session_while_the_old_one_is_a_fallback(ada, settings):
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-key-of-fifty-characters-or-more-0123456789-abc"
    assert ada.get("/api/me/").status_code == 401
    settings.SECRET_KEY_FALLBACKS = [old]
    assert ada.get("/api/me/").status_code == 200
