"""What ``manage.py`` makes of errors, in this process. As one of its own: ``test_manage_py``."""

from __future__ import annotations

import os
import sqlite3
import sys
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, ManagementUtility, call_command, load_command_class
from django.db import IntegrityError, OperationalError
from django.test import override_settings

from tenancy import management
from tenancy.exceptions import (
    DatabaseUnavailable,
    NoDefaultDatabase,
    Problem,
    RegistryUnavailable,
    TenantMigrating,
    TenantNotFound,
    TenantsFileError,
)
from tenancy.management.alias import name_the_aliases
from tenancy.registry import Registry
from tenancy.testing import databases


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ImproperlyConfigured("X is not set."), "error: X is not set.", id="settings"),
        pytest.param(TenantNotFound("acmee", ["acme"]), None, id="unknown tenant"),
        pytest.param(RegistryUnavailable("tenants.yaml:1: x"), "error: tenants.yaml:1: x", id="registry"),
        pytest.param(
            caused(DatabaseUnavailable("acme"), OperationalError("FATAL: no\nsuch database")),
            "error: The database of 'acme' is unavailable: it cannot be reached. (FATAL: no)",
            id="the driver's first line",
        ),
        pytest.param(
            caused(DatabaseUnavailable("acme"), OperationalError("")),
            "error: The database of 'acme' is unavailable: it cannot be reached.",
            id="a driver without words",
        ),
        pytest.param(
            TenantMigrating("acme", "is behind the code"),
            None,
            id="migrating",
        ),
        pytest.param(KeyboardInterrupt(), 130, id="Ctrl-C"),
    ],
)
def test_each_error_has_its_line_and_status(monkeypatch, error, code):
    def fail(argv):
        raise error

    monkeypatch.setattr(management.Utility, "execute", fail)
    with pytest.raises(SystemExit) as caught:
        management.execute(["manage.py", "anything"])
    assert caught.value.code == (f"error: {error}" if code is None else code)


def test_what_is_not_foreseen_keeps_its_traceback(monkeypatch):
    def fail(argv):
        raise ZeroDivisionError

    monkeypatch.setattr(management.Utility, "execute", fail)
    with pytest.raises(ZeroDivisionError):
        management.execute(["manage.py", "anything"])


def test_the_alias_default_is_explained(monkeypatch, capsys):
    def fail(argv):
        raise NoDefaultDatabase

    monkeypatch.setattr(management.Utility, "execute", fail)
    with pytest.raises(SystemExit) as caught:
        management.execute(["manage.py", "dbshell"])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: There is no default database. In code use tenant_atomic()")
    assert told.endswith(" Name one with --database: control, acme, globex, initech.\n")


def test_a_broken_pipe_exits_1_and_leaves_stdout_fit_to_close(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(management.Utility, "execute", lambda _: stdout.write("a table"))
        with pytest.raises(SystemExit) as caught:
            management.execute(["manage.py"])
        assert caught.value.code == 1


def test_a_command_that_succeeds_returns(capsys):
    management.execute(["manage.py", "tenants", "check"])
    assert capsys.readouterr().out == "tenants.yaml: 3 tenants, all valid.\n"


@pytest.mark.parametrize("command", ["migrate", "showmigrations"])
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({}, 2, "No database is named. Name one with --database: control, acme, globex, initech."),
        ({"database": "globx"}, 1, "Unknown tenant 'globx': did you mean 'globex'?"),
        ({"database": "ACME"}, 1, "Unknown tenant 'ACME'. Name one with --database: control, acme, "),
        ({"database": "default"}, 1, "Unknown tenant 'default'. Name one with --database: control, "),
        ({"database": "__class__"}, 1, "Unknown tenant '__class__'. Name one with --database: control"),
        ({"database": ""}, 1, "Unknown tenant ''. Name one with --database: control, acme, globex"),
    ],
)
def test_an_alias_must_be_named_and_known(command, options, code, message):
    with pytest.raises(CommandError) as caught:
        call_command(command, **options)
    assert caught.value.returncode == code
    assert str(caught.value).startswith(message)


def test_without_a_registry_an_unknown_alias_tells_what_is_wrong_with_the_file():
    refused = Registry({}, error=TenantsFileError("tenants.yaml", [Problem(4, "tenants.x", "wrong")]))
    with (
        override_settings(TENANCY_REGISTRY=refused),
        pytest.raises(RegistryUnavailable, match=r"yaml:4: tenants\.x"),
    ):
        call_command("migrate", database="hooli")


@pytest.mark.parametrize("command", ["migrate", "showmigrations"])
def test_the_help_does_not_list_a_thousand_aliases(command):
    text = load_command_class("tenancy", command).create_parser("manage.py", command).format_help()
    assert "globex" not in text
    assert "or a tenant's id" in " ".join(text.split())


@databases("control", "acme")
@pytest.mark.parametrize(
    ("alias", "shown", "hidden"), [("control", "users", "catalog"), ("acme", "catalog", "users")]
)
def test_a_known_alias_passes(capsys, alias, shown, hidden):
    call_command("showmigrations", database=alias, no_color=True)
    lines = capsys.readouterr().out.splitlines()
    assert shown in lines
    assert hidden not in lines


@pytest.mark.parametrize(
    ("count", "ending"),
    [(1, "tenant-0."), (8, "tenant-7."), (9, "tenant-7 and 1 more."), (1000, "tenant-7 and 992 more.")],
)
def test_it_names_eight_aliases_at_most_and_never_default(count, ending):
    names = name_the_aliases(["default", *(f"tenant-{number}" for number in range(count))])
    assert names.startswith("Name one with --database: tenant-0")
    assert names.endswith(ending)
    assert "default" not in names


def database_error(error, cause):
    """As a connection of ours raises it: with the driver's error behind it, and the alias."""
    error.__cause__ = cause
    error.alias = "control"
    return error


def test_a_database_without_tables_names_the_command_that_makes_them(monkeypatch, capsys):
    missing = sqlite3.OperationalError("no such table: users_membership")
    missing.sqlite_errorcode = sqlite3.SQLITE_ERROR
    monkeypatch.setattr(
        management.Utility, "execute", mock.Mock(side_effect=database_error(OperationalError("x"), missing))
    )
    with pytest.raises(SystemExit) as caught:
        management.execute(["manage.py", "membership"])
    assert caught.value.code == (
        "error: The database of 'control' is behind the code. Run `manage.py migrate --database control`."
    )


@pytest.mark.parametrize(
    "error", [IntegrityError("x"), database_error(IntegrityError("x"), sqlite3.IntegrityError("x"))]
)
def test_another_database_error_keeps_its_traceback(monkeypatch, error):
    monkeypatch.setattr(management.Utility, "execute", mock.Mock(side_effect=error))
    with pytest.raises(IntegrityError):
        management.execute(["manage.py", "membership"])


@pytest.mark.parametrize("command", ["dumpdata", "sqlflush", "inspectdb", "flush"])
def test_no_stock_command_falls_back_to_the_default_database(command):
    """``dumpdata`` would write an empty file and say that all is well."""
    with pytest.raises(CommandError, match="No database is named") as caught:
        management.Utility(["manage.py"]).fetch_command(command).execute()
    assert caught.value.returncode == 2


@pytest.mark.parametrize("command", ["check", "makemigrations", "tenants", "migrate"])
def test_other_commands_are_left_as_they_are(command):
    utility = management.Utility(["manage.py"])
    assert type(utility.fetch_command(command)) is type(
        ManagementUtility(["manage.py"]).fetch_command(command)
    )
