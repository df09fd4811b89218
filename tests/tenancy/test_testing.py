"""The pytest plugin: a test names its databases, and they are the tests' own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from catalog.models import Category
from tenancy import stamp, testing
from tenancy.connections import maintenance
from tenancy.context import current_tenant, tenant_context
from tenancy.exceptions import TenantNotFound
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, empty_database, only_tenants, repointed, twins


def item(marker=None, fixtures=(), cls=None):
    """What the hook looks at in a collected test."""
    return SimpleNamespace(
        nodeid="tests/test_x.py::test_y",
        fixturenames=fixtures,
        cls=cls,
        get_closest_marker=lambda name: marker.mark if marker and name == "django_db" else None,
    )


@databases("control", "acme")
def test_marked_it_opens_a_connection_that_is_kept():
    assert get_user_model().objects.count() == 0
    with tenant_context("acme"):
        assert Category.objects.count() == 0


def test_unmarked_it_may_use_none_that_another_test_left_open():
    for alias in ("control", "acme"):
        with (
            tenant_context("acme"),
            pytest.raises(RuntimeError, match="Database access not allowed"),
            connections[alias].cursor(),
        ):
            pytest.fail("It has a cursor.")


@pytest.mark.parametrize(
    "bare",
    [
        item(pytest.mark.django_db),
        item(pytest.mark.django_db(transaction=True)),
        item(pytest.mark.django_db(databases=[])),
        item(pytest.mark.django_db(databases="__all__")),
        item(fixtures=["db"]),
        item(fixtures=["transactional_db"]),
        item(fixtures=["tmp_path", "live_server"]),
        item(fixtures=["admin_client"]),
        item(fixtures=["admin_user"]),
        item(cls=TestCase),
        item(cls=type("Everywhere", (TransactionTestCase,), {"databases": "__all__"})),
    ],
    ids=[
        "bare mark",
        "mark without names",
        "no names",
        "all of them",
        "db",
        "transactional_db",
        "live_server",
        "admin_client",
        "admin_user",
        "a class of Django's",
        "such a class of all",
    ],
)
def test_a_test_that_does_not_name_its_databases_is_refused(bare):
    with pytest.raises(pytest.UsageError, match=r"test_y does not name its databases.*Mark it with"):
        testing.pytest_collection_modifyitems([item(), bare])


@pytest.mark.parametrize(
    "named",
    [
        item(),
        item(databases("acme")),
        item(databases("control", "acme", transaction=True), fixtures=["db"]),
        item(fixtures=["tmp_path"]),
        item(cls=SimpleTestCase),
        item(cls=type("Acmes", (TestCase,), {"databases": {"acme"}})),
        item(databases("acme"), cls=type("Ours", (), {})),
        SimpleNamespace(nodeid="README.md", get_closest_marker=lambda _: None),
    ],
    ids=[
        *("no database", "one", "several", "other fixtures"),
        *("Django's without a database", "Django's with one", "a class of ours", "not a function"),
    ],
)
def test_a_test_that_names_its_databases_is_collected(named):
    testing.pytest_collection_modifyitems([named])


def test_a_class_of_djangos_names_databases_that_are_made_for_the_tests():
    """It would be led to the real one otherwise."""
    of_acme = type("Acmes", (TestCase,), {"databases": {"acme"}})
    assert testing._databases_of(item(cls=of_acme)) == {"acme"}
    assert testing._databases_of(item(databases("globex"), cls=type("Ours", (), {}))) == ["globex"]


def test_a_bare_mark_ends_the_run_with_a_sentence(tmp_path):
    """The same from outside: pytest exits with 4, a usage error, and runs nothing."""
    (tmp_path / "test_bare.py").write_text(
        "import pytest\n\n\n@pytest.mark.django_db\ndef test_bare():\n    raise AssertionError('it ran')\n"
    )
    root = Path(settings.BASE_DIR)
    # Settings of its own: it must not join, and then end, what this run uses.
    environment = {name: value for name, value in os.environ.items() if name != "FREEHOLD_TEST_DIR"}
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", root / "pyproject.toml", "--rootdir", root),
            *("-p", "no:cacheprovider", "-p", "tenancy.testing", tmp_path / "test_bare.py"),
        ],
        cwd=root,
        env=environment | {"PYTEST_ADDOPTS": "", "TEST_DATABASE": "sqlite"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_bare does not name its databases, and there is no default one" in run.stderr
    assert "it ran" not in run.stdout + run.stderr


@databases("acme", "globex")
@pytest.mark.parametrize("alias", ["acme", "globex"])
def test_a_database_of_the_tests_is_not_the_configured_one(alias):
    name = connections[alias].settings_dict["NAME"]
    configured = Registry.load(settings.TENANTS_FILE, control=None, production=True).get(alias)
    assert name != configured.database["NAME"]
    assert settings.DATABASES[alias]["NAME"] == name  # one dict, which Django changes in place
    with connections[alias].cursor() as cursor:
        sqlite = connections[alias].vendor == "sqlite"
        cursor.execute("PRAGMA database_list" if sqlite else "SELECT 0, 0, current_database()")
        assert cursor.fetchone()[2] == name
        cursor.execute("SELECT tenant_id FROM tenancy_stamp")
        assert cursor.fetchone() == (alias,)


@databases("acme", "globex")
def test_twins_differ_in_nothing_but_what_they_are_told():
    ours, theirs = twins(Category, ["acme", "globex"], name=str.upper, description="same")
    assert (ours.pk, ours.description) == (theirs.pk, theirs.description)
    assert (ours.name, theirs.name) == ("ACME", "GLOBEX")
    assert (ours._state.db, theirs._state.db) == ("acme", "globex")
    pk = uuid.uuid4()
    assert [twin.pk for twin in twins(Category, ["acme"], pk=pk, name="x")] == [pk]


def test_a_tenant_can_be_changed_for_a_while():
    before = get_registry()
    with changed_tenant("acme", status=Status.SUSPENDED) as changed:
        assert get_registry().get("acme") is changed
        assert changed.status is Status.SUSPENDED
        assert len(get_registry()) == len(before)
    assert get_registry() is before


def test_the_registry_can_be_narrowed_for_a_while():
    with only_tenants("globex") as registry:
        assert [tenant.id for tenant in get_registry()] == ["globex"]
        with pytest.raises(TenantNotFound):
            registry.get("acme")
    assert "acme" in get_registry()


@databases("acme", "globex", transaction=True)
def test_an_alias_can_be_repointed_for_a_while():
    before = dict(connections["acme"].settings_dict)
    connections["acme"].ensure_connection()
    with repointed("acme", NAME=connections["globex"].settings_dict["NAME"]):
        assert connections["acme"].connection is None
        with maintenance("acme") as connection:
            assert stamp.read(connection) == "globex"
    assert connections["acme"].connection is None
    assert connections["acme"].settings_dict == before
    with pytest.raises(KeyError), repointed("acme", NAME="elsewhere"):
        raise KeyError
    assert connections["acme"].connection is None
    assert connections["acme"].settings_dict == before


@databases("acme", transaction=True)
def test_an_empty_database_is_there_for_a_while(tmp_path):
    before = dict(connections["acme"].settings_dict)
    with empty_database("acme", tmp_path):
        name = connections["acme"].settings_dict["NAME"]
        assert name != before["NAME"]
        connections["acme"].maintenance = True
        try:
            assert connections["acme"].introspection.table_names() == []
        finally:
            connections["acme"].maintenance = False
    assert connections["acme"].settings_dict == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tenant_left_in_context_fails_the_test_that_left_it(when):
    guard = testing._no_tenant_left.__wrapped__()
    block = tenant_context("acme")
    if when == "after":
        next(guard)
    block.__enter__()
    try:
        with pytest.raises(AssertionError, match=r"(?i)a tenant"):
            next(guard)
    finally:
        block.__exit__(None, None, None)
    assert current_tenant() is None


def test_in_a_worker_the_sentence_is_written_where_somebody_sees_it(monkeypatch):
    """pytest-xdist says no more of a worker that refused than that it ended."""
    seen = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", seen)
    bare = item(pytest.mark.django_db)
    bare.config = SimpleNamespace(workerinput={})
    with pytest.raises(pytest.UsageError):
        testing.pytest_collection_modifyitems([bare])
    assert seen.getvalue().startswith("ERROR: tests/test_x.py::test_y does not name its databases")
