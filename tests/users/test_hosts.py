"""A tenant's own host name: a second lock beside the token, and never the only one."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tenancy.audit.trail import SERVICE
from tenancy.registry import get_registry
from tenancy.testing import changed_tenant, databases
from users.api_keys import create
from users.families import open_family
from users.models import Role
from users.testing import PASSWORD

pytestmark = databases("control", "acme", "globex")

HOST = "shop.acme.example"


@pytest.fixture(autouse=True)
def _host(settings):
    settings.ALLOWED_HOSTS = ["*"]
    with changed_tenant("acme", hosts=(HOST, "acme.example")):
        yield


def refusal(response):
    return response.status_code, response.json()["code"]


def get(user, tenant_id, host, path="/api/products/"):
    token = open_family(user, tenant_id).access
    return APIClient().get(path, HTTP_HOST=host, HTTP_AUTHORIZATION=f"Bearer {token}")


def test_a_key_of_another_tenant_is_refused_there(cast):
    for maker, tenant_id, status in ((cast.ada, "acme", 200), (cast.grace, "globex", 403)):
        _, text = create(tenant_id, "Job", Role.VIEWER, None, maker=maker, who=SERVICE)
        response = APIClient().get("/api/products/", HTTP_HOST=HOST, HTTP_AUTHORIZATION=f"Api-Key {text}")
        assert response.status_code == status


def sign_in(email, host, **body):
    return APIClient().post("/api/token/", {"email": email, "password": PASSWORD, **body}, HTTP_HOST=host)


@pytest.mark.parametrize("host", [HOST, f"{HOST}:8443", HOST.upper(), "acme.example", f"{HOST}."])
@pytest.mark.parametrize("path", ["/api/products/", "/api/me/", "/api/members/"])
def test_on_a_tenants_host_only_its_token_is_good(cast, host, path):
    assert get(cast.ada, "acme", host, path).status_code == 200
    assert refusal(get(cast.grace, "globex", host, path)) == (403, "tenant_forbidden")


@pytest.mark.parametrize("host", ["testserver", "other.example", "example", f"x.{HOST}"])
def test_a_host_that_is_nobodys_is_everybodys(cast, host):
    for user, tenant_id in ((cast.ada, "acme"), (cast.grace, "globex")):
        assert get(user, tenant_id, host).status_code == 200


def test_it_opens_nothing_by_itself(cast):
    assert refusal(APIClient().get("/api/products/", HTTP_HOST=HOST)) == (401, "not_authenticated")
    assert refusal(sign_in("bob@example.com", HOST)) == (403, "tenant_forbidden")


def test_signing_in_there_needs_no_tenant_id(cast):
    assert refusal(sign_in("grace@example.com", "testserver")) == (400, "tenant_required")
    assert sign_in("grace@example.com", HOST).json()["tenant_id"] == "acme"
    assert sign_in("grace@example.com", HOST, tenant_id="acme").status_code == 200
    for other in ("globex", "nosuch"):
        assert refusal(sign_in("grace@example.com", HOST, tenant_id=other)) == (403, "tenant_forbidden")


def test_nobody_switches_away_or_refreshes_for_another(cast):
    pair = open_family(cast.grace, "acme")
    client = APIClient()
    switched = client.post(
        "/api/token/switch/",
        {"tenant_id": "globex"},
        HTTP_HOST=HOST,
        HTTP_AUTHORIZATION=f"Bearer {pair.access}",
    )
    assert refusal(switched) == (403, "tenant_forbidden")
    other = open_family(cast.grace, "globex")
    refused = client.post("/api/token/refresh/", {"refresh": other.refresh}, HTTP_HOST=HOST)
    assert refusal(refused) == (403, "tenant_forbidden")
    spent = client.post("/api/token/refresh/", {"refresh": other.refresh}, HTTP_HOST="testserver")
    assert spent.status_code == 200, "Nothing was spent."


def test_whose_a_host_is_is_looked_up_and_not_searched():
    assert get_registry().hosts == {HOST: "acme", "acme.example": "acme"}
