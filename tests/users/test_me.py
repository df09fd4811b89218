"""Who one is, and where one may go: asked by everybody."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tenancy.context import current_tenant
from tenancy.exceptions import TenantsFileError
from tenancy.registry import Registry
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, only_tenants
from users.models import Membership, Role

pytestmark = databases("control")

ACME, GLOBEX = {"id": "acme", "name": "Acme Corporation"}, {"id": "globex", "name": "Globex"}


@pytest.mark.parametrize(
    ("who", "tenant", "role"),
    [
        ("ada", ACME, "owner"),
        ("bob", GLOBEX, "member"),
        ("grace", ACME, "viewer"),
        ("grace", GLOBEX, "admin"),
    ],
)
def test_me_says_who_where_and_what(cast, who, tenant, role):
    user = getattr(cast, who)
    response = cast.client(user, tenant["id"]).get("/api/me/")
    assert response.status_code == 200
    assert response.json() == {
        "id": str(user.pk),
        "email": f"{who}@example.com",
        "name": who.title(),
        "tenant": tenant,
        "role": role,
    }
    assert response["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Accept"} <= set(response["Vary"].replace(" ", "").split(","))
    assert current_tenant() is None


@pytest.mark.parametrize(
    ("who", "signed_in_to", "expected"),
    [
        ("ada", "acme", [ACME | {"role": "owner"}]),
        ("bob", "globex", [GLOBEX | {"role": "member"}]),
        ("grace", "acme", [ACME | {"role": "viewer"}, GLOBEX | {"role": "admin"}]),
        ("grace", "globex", [ACME | {"role": "viewer"}, GLOBEX | {"role": "admin"}]),
    ],
)
def test_my_tenants_are_my_own(cast, who, signed_in_to, expected):
    response = cast.client(getattr(cast, who), signed_in_to).get("/api/me/tenants/")
    assert (response.status_code, response.json()) == (200, expected)


@pytest.mark.parametrize("path", ["/api/me/", "/api/me/tenants/"])
def test_eve_who_belongs_nowhere_is_refused(cast, path):
    response = cast.client(cast.eve, "acme").get(path)
    assert (response.status_code, response.json()["code"]) == (403, "tenant_forbidden")


@pytest.mark.parametrize("path", ["/api/me/", "/api/me/tenants/"])
def test_a_stranger_is_asked_to_sign_in(path):
    response = APIClient().get(path)
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("path", ["/api/me/", "/api/me/tenants/"])
@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.READ_ONLY])
def test_both_work_while_the_tenant_is_closed(ada, path, status):
    with changed_tenant("acme", status=status):
        assert ada.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/me/", "/api/me/tenants/"])
def test_neither_is_written(ada, path):
    for method in ("post", "put", "patch", "delete"):
        response = getattr(ada, method)(path, {})
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


def test_a_tenant_that_is_gone_is_not_listed(cast, grace):
    Membership.objects.create(user=cast.grace, tenant_id="gone", role=Role.OWNER)
    with only_tenants("acme"):
        assert grace.get("/api/me/tenants/").json() == [ACME | {"role": "viewer"}]


@pytest.mark.parametrize("path", ["/api/me/", "/api/me/tenants/"])
def test_without_any_valid_registry_it_is_unavailable_and_not_forbidden(ada, settings, path):
    settings.TENANCY_REGISTRY = Registry({}, error=TenantsFileError("tenants.yaml", []))
    response = ada.get(path)
    assert (response.status_code, response.json()["code"]) == (503, "tenant_unavailable")
    assert response["Retry-After"]
    assert "yaml" not in response.content.decode()


@pytest.mark.parametrize("path", ["/api/me/", "/api/me/tenants/"])
def test_a_tenant_in_the_query_is_refused_rather_than_ignored(ada, path):
    response = ada.get(f"{path}?tenant=globex")
    assert response.status_code == 400
    assert response.json()["errors"] == {"tenant": ["Unknown parameter."]}
