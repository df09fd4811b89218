"""The registry: tenants by id, or the reason why there is none."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from tenancy.exceptions import RegistryUnavailable, TenantNotFound, TenantsFileError
from tenancy.registry import Registry, get_registry, get_source

TEXT = """\
version: 1
tenants:
  acme: {name: Acme, url: 'postgres://app:${PW}@db1/acme'}
  globex: {name: Globex, url: 'sqlite:///globex.sqlite3'}
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "tenants.yaml"
    file.write_text(TEXT)
    return file


def load(file, **options):
    return Registry.load(
        file, **({"control": None, "production": True, "environ": {"PW": "secret"}} | options)
    )


def test_it_holds_the_files_tenants_in_order(file):
    registry = load(file)
    registry.require()
    assert registry.error is None
    assert [tenant.id for tenant in registry] == ["acme", "globex"]
    assert len(registry) == 2
    assert "acme" in registry
    assert "default" not in registry
    assert registry.get("globex").name == "Globex"
    assert registry.since.tzinfo is not None


def test_its_ids_are_known_before_any_tenant_is_looked_at(file):
    registry = load(file)
    assert list(registry.ids) == ["acme", "globex"]
    assert registry.get("acme").database["PASSWORD"] == "secret"
    assert registry.get("globex").database["NAME"] == str(file.parent / "globex.sqlite3")


def test_its_generation_changes_with_the_content_only(file):
    generation = load(file).generation
    assert generation
    file.touch()
    assert load(file).generation == generation
    file.write_text(TEXT + "# more\n")
    assert load(file).generation != generation


def test_it_reads_the_environment_of_the_process_by_default(file, monkeypatch):
    monkeypatch.setenv("PW", "from outside")
    registry = Registry.load(file, control=None, production=True)
    assert registry.get("acme").database["PASSWORD"] == "from outside"


def test_an_unknown_tenant_is_told_with_a_guess(file):
    with pytest.raises(TenantNotFound, match=r"Unknown tenant 'acmee' \(did you mean 'acme'\?\)") as caught:
        load(file).get("acmee")
    assert caught.value.tenant_id == "acmee"
    with pytest.raises(LookupError, match=r"Unknown tenant 'zzz'\. Add it to tenants\.yaml"):
        load(file).get("zzz")


def test_a_refused_file_gives_an_empty_registry_that_says_why(file):
    file.write_text(TEXT.replace("globex: {", "globex: {nam: x, "))
    registry = load(file)
    assert (len(registry), list(registry), list(registry.ids), registry.generation) == (0, [], [], "")
    assert isinstance(registry.error, TenantsFileError)
    for ask in (registry.require, lambda: registry.get("acme")):
        with pytest.raises(RegistryUnavailable, match=r"^tenants\.yaml:4: tenants\.globex\.nam: unknown key"):
            ask()
    assert "acme" not in registry


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"environ": {}}, "variable PW is unset"),
        ({"max_bytes": 10}, "over 10 bytes"),
        (
            {"control": {"ENGINE": "postgresql", "HOST": "db1", "PORT": "", "NAME": "acme"}},
            "the control plane",
        ),
    ],
    ids=["environ", "max_bytes", "control"],
)
def test_what_it_is_told_reaches_the_reader(file, options, message):
    assert message in str(load(file, **options).error)


def test_production_reaches_the_reader(file):
    file.write_text(TEXT.replace("${PW}", "plain"))
    assert "a password in plain text" in str(load(file).error)
    assert load(file, production=False).error is None


def test_the_registry_in_use_is_the_settings_one(file):
    assert get_source() is settings.TENANCY_REGISTRY
    assert get_registry() is settings.TENANCY_REGISTRY.current
    other = load(file)
    with override_settings(TENANCY_REGISTRY=other):
        assert get_source() is get_registry() is other


def test_a_registry_follows_no_file(file):
    registry = load(file)
    file.write_text("not one")
    assert not registry.is_due()
    registry.refresh()
    assert registry.current is registry
    assert "acme" in registry


def test_every_tenant_is_an_alias_and_there_is_no_default_database():
    """``default`` is an alias without a database: Django's dummy."""
    assert list(connections) == ["default", "control", *(tenant.id for tenant in get_registry())]
    assert connections["default"].vendor == "unknown"
    assert all(connections[tenant.id].vendor != "unknown" for tenant in get_registry())
