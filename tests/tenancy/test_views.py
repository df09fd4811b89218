"""The probes."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from django.test import override_settings

from tenancy.exceptions import DatabaseBusy, Problem, TenantsFileError
from tenancy.registry import Registry, get_registry
from tenancy.testing import databases, repointed

NO_REGISTRY = Registry({}, error=TenantsFileError("tenants.yaml", [Problem(3, "tenants.acme", "no url")]))


def test_livez_answers_without_a_database(client):
    """This test names no database, so a query would fail it."""
    response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_livez_answers_without_a_registry(client):
    with override_settings(TENANCY_REGISTRY=NO_REGISTRY):
        assert client.get("/livez").status_code == 200


@databases("control")
def test_readyz_says_what_is_ready(client):
    response = client.get("/readyz")
    assert response.status_code == 200
    body = response.json()
    since = body["registry"].pop("since")
    assert body == {"control": "ok", "registry": {"state": "fresh", "generation": get_registry().generation}}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", since)


@databases("control")
def test_readyz_asks_the_control_plane_one_question_and_no_tenant(client, django_assert_num_queries):
    """A query of a tenant would fail: this test does not name one."""
    with django_assert_num_queries(1, using="control"):
        client.get("/readyz")


@databases("control")
def test_readyz_says_503_without_a_registry_and_the_reason_in_the_log_only(client, caplog):
    with override_settings(TENANCY_REGISTRY=NO_REGISTRY):
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    body = response.json()
    assert (body["code"], body["control"], body["registry"]["state"]) == ("tenant_unavailable", "ok", "stale")
    assert "no url" not in response.content.decode()
    assert "tenants.yaml:3: tenants.acme: no url" in caplog.text


@databases("control", transaction=True)
def test_readyz_says_503_without_the_control_plane_and_the_reason_in_the_log_only(client, caplog):
    with repointed("control", NAME="/dev/null/no_such_database"):
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert (response.json()["code"], response.json()["control"]) == ("control_unavailable", "unavailable")
    assert "no_such_database" not in response.content.decode()
    assert "the control plane does not answer" in caplog.text
    assert client.get("/readyz").status_code == 200


@databases("control")
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_a_probe_is_read_only(client, path, method):
    response = getattr(client, method)(path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD"


@databases("control")
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_answers_head(client, path):
    assert client.head(path).status_code == 200


@databases("control")
def test_a_control_plane_that_is_busy_is_there(client, monkeypatch):
    def busy(*args):
        raise DatabaseBusy("control")

    monkeypatch.setattr("tenancy.views.connections", {"control": SimpleNamespace(cursor=busy)})
    assert client.get("/readyz").json()["control"] == "ok"
