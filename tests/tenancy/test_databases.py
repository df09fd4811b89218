"""``settings.DATABASES``: names every alias, resolves any, and walks none but its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.db.utils import ConnectionHandler
from django.test import override_settings

from tenancy.address import Address
from tenancy.context import tenant_context
from tenancy.databases import Databases
from tenancy.exceptions import DatabaseUnavailable
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Tenant

SECRET = "hunter2-s3cret"


def tenant(tenant_id, environ=None):
    url = f"postgres://app:${{PW}}@db1/{tenant_id}"
    return Tenant(tenant_id, tenant_id, database=Address(url, False, Path("/srv"), environ or {"PW": SECRET}))


@pytest.fixture
def registry():
    registry = Registry({name: tenant(name) for name in ("acme", "globex")})
    with override_settings(TENANCY_REGISTRY=registry):
        yield registry


@pytest.fixture
def mapping(registry):
    return Databases({"default": {}, "control": {"NAME": "control"}})


def resolved(registry):
    return [one.id for one in registry if "_database_resolved" in one.__dict__]


def test_it_names_every_alias_and_resolves_none(mapping, registry):
    assert list(mapping) == list(mapping.keys()) == ["default", "control", "acme", "globex"]
    assert len(mapping) == 4
    assert "acme" in mapping
    assert "default" in mapping
    assert "hooli" not in mapping
    assert None not in mapping
    assert resolved(registry) == []


def test_it_resolves_the_one_that_is_asked_for(mapping, registry):
    assert mapping["acme"] is registry.get("acme").database
    assert mapping["acme"]["PASSWORD"] == SECRET
    assert mapping["control"] == {"NAME": "control"}
    assert resolved(registry) == ["acme"]
    with pytest.raises(KeyError, match="hooli"):
        mapping["hooli"]


def test_walking_it_meets_only_what_settings_name(mapping, registry):
    assert dict(mapping.items()) == {"default": {}, "control": {"NAME": "control"}}
    assert list(mapping.values()) == [{}, {"NAME": "control"}]
    assert resolved(registry) == []


def test_it_is_a_dict_for_what_settings_name(mapping):
    assert mapping.get("control") == {"NAME": "control"}
    assert mapping.get("hooli") is None
    assert mapping.get("acme")["NAME"] == "acme"
    mapping["plain"] = {"NAME": "plain"}
    assert mapping.setdefault("plain", {}) == {"NAME": "plain"}
    assert mapping.setdefault("other", {"NAME": "other"}) == {"NAME": "other"}
    assert mapping.setdefault("globex", {})["NAME"] == "globex"
    mapping["acme"] = {"NAME": "mine"}
    assert mapping["acme"] == {"NAME": "mine"}
    assert list(mapping) == ["default", "control", "plain", "other", "acme", "globex"]
    assert len(mapping) == 6
    del mapping["acme"]
    assert mapping["acme"]["NAME"] == "acme"
    with pytest.raises(KeyError):
        del mapping["acme"]
    assert mapping != {}
    assert Databases({}) == {}


def test_it_shows_no_settings(mapping):
    assert repr(mapping) == "<Databases: default, control and 2 tenants>"
    assert mapping["acme"]
    assert SECRET not in repr(mapping)


def test_djangos_handler_takes_it_and_resolves_none(mapping, registry):
    handler = ConnectionHandler(mapping)
    assert list(handler) == ["default", "control", "acme", "globex"]
    assert handler.settings is mapping
    assert mapping["default"]["ENGINE"] == "django.db.backends.dummy"
    assert mapping["control"]["CONN_MAX_AGE"] == 0
    assert resolved(registry) == []
    assert handler["acme"].settings_dict is registry.get("acme").database
    assert handler["acme"].vendor == "postgresql"
    with pytest.raises(handler.exception_class):
        handler["hooli"]


def test_it_is_of_the_registry_in_use(mapping):
    with override_settings(TENANCY_REGISTRY=Registry({"hooli": tenant("hooli")})):
        assert list(mapping) == ["default", "control", "hooli"]
        assert "acme" not in mapping
    assert "acme" in mapping


def test_what_runs_keeps_the_database_in_which_it_began(mapping, registry):
    """tenants.yaml changes while acme's work goes on: removed first, and then with another URL."""
    acme = registry.get("acme")
    with tenant_context(acme):
        for later in (Registry({}), Registry({"acme": tenant("acme")})):
            with override_settings(TENANCY_REGISTRY=later):
                assert "acme" in mapping
                assert mapping["acme"] is acme.database
        with override_settings(TENANCY_REGISTRY=Registry({})):
            assert "globex" not in mapping
    with override_settings(TENANCY_REGISTRY=Registry({})):
        assert "acme" not in mapping
        with pytest.raises(KeyError):
            mapping["acme"]


def test_a_url_that_cannot_be_used_is_an_unavailable_database(mapping):
    with (
        override_settings(TENANCY_REGISTRY=Registry({"acme": tenant("acme", {"OTHER": "x"})})),
        pytest.raises(DatabaseUnavailable, match="'acme' is unavailable: its URL cannot be used any more"),
    ):
        mapping["acme"]


def test_ten_thousand_tenants_are_names_only():
    class Many(dict):
        """Fails whoever looks at a tenant."""

        def __getitem__(self, name):
            raise AssertionError(f"{name} was looked at")

    class Names(Registry):
        def __init__(self):
            super().__init__({})
            self._tenants = Many.fromkeys(f"tenant-{number}" for number in range(10_000))

    with override_settings(TENANCY_REGISTRY=Names()):
        handler = ConnectionHandler(Databases({"default": {}, "control": {}}))
        assert len(list(handler)) == 10_002
        assert len(handler.settings.items()) == 2
        assert "tenant-9999" in handler.settings


def test_the_projects_databases_are_one():
    assert isinstance(settings.DATABASES, Databases)
    assert connections.settings is settings.DATABASES
    assert list(settings.DATABASES) == ["default", "control", *get_registry().ids]
