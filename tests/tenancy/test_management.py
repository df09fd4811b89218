"""``manage.py``: what goes wrong is one line on stderr and an exit status, never a traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
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

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
SECRET = "hunter2-s3cret"
GOOD = "version: 1\ntenants:\n  acme: {name: Acme, url: 'sqlite:///acme.sqlite3'}\n"
BAD = f"version: 1\ntenants:\n  acme: {{name: Acme, url: 'postgres://app:{SECRET}@db1/acme?host=db2'}}\n"


@pytest.fixture
def manage(tmp_path):
    """Runs ``manage.py`` as a process of its own, in development, with one tenant."""

    def run(*arguments, text=GOOD, stdout=subprocess.PIPE, **environ):
        (tmp_path / "tenants.yaml").write_text(text)
        development = {  # and nothing of the tests' own environment
            "PATH": os.environ["PATH"],
            "DEBUG": "1",
            "TENANTS_FILE": str(tmp_path / "tenants.yaml"),
            "CONTROL_DATABASE_URL": f"sqlite:///{tmp_path}/control.sqlite3",
            "JWT_KEYS_DIR": str(tmp_path / "keys"),
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", str(MANAGE), *arguments],
            env=development | environ,
            cwd=tmp_path,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stderr + (done.stdout or "")
        return done

    return run


@pytest.mark.parametrize("command", ["migrate", "showmigrations"])
def test_no_database_is_wrong_usage_that_names_the_aliases(manage, command):
    done = manage(command)
    assert done.returncode == 2
    assert done.stderr == ("CommandError: No database is named. Name one with --database: control, acme.\n")


def test_a_stock_command_without_a_database_names_the_aliases(manage):
    done = manage("sqlflush")
    assert done.returncode == 2
    assert done.stderr == "CommandError: No database is named. Name one with --database: control, acme.\n"


def test_an_unknown_alias_is_one_line_with_a_guess(manage):
    done = manage("migrate", "--database", "acmee")
    assert done.returncode == 1
    assert done.stderr == "CommandError: Unknown tenant 'acmee': did you mean 'acme'?\n"


def test_a_bad_tenants_file_is_what_migrate_says(manage):
    done = manage("migrate", "--database", "acme", text=BAD)
    assert done.returncode == 1
    assert done.stderr.startswith("error: tenants.yaml:3: tenants.acme.url: option 'host' is not allowed; ")
    assert done.stderr.count("\n") == 1


def test_tenants_check_works_with_a_bad_file(manage):
    done = manage("tenants", "check", text=BAD)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tenants.yaml:3: tenants.acme.url: option 'host' is not allowed; ")


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        pytest.param(
            {"DEBUG": ""}, "error: SECRET_KEY is not set. Production needs it; for dev", id="SECRET_KEY"
        ),
        pytest.param({"DEBUG": "maybe"}, "error: DEBUG is 'maybe'; write 1 or 0.", id="DEBUG"),
        pytest.param(
            {"CONTROL_DATABASE_URL": f"mysql://root:{SECRET}@db1/control"},
            "error: CONTROL_DATABASE_URL: unknown scheme; use one of postgres, postgresql, sqlite.",
            id="CONTROL_DATABASE_URL",
        ),
        pytest.param(
            {"CONTROL_DATABASE_URL": "postgres://root:${PW}@db1/control"},
            "error: CONTROL_DATABASE_URL: a placeholder that is not closed, or not allowed here",
            id="placeholder in CONTROL_DATABASE_URL",
        ),
    ],
)
def test_a_fault_in_the_environment_is_one_line_that_names_the_variable(manage, environ, line):
    done = manage("migrate", "--database", "acme", **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_database_that_is_not_there_is_one_line(manage):
    done = manage("createsuperuser", "--database", "control", "--noinput", "--email", "a@example.com")
    assert done.returncode == 1
    assert done.stderr == (
        "error: The database of 'control' is unavailable: its file is not there; "
        "`manage.py migrate --database control` makes it. (unable to open database file)\n"
    )


def test_wrong_usage_of_our_command_exits_2(manage):
    done = manage("tenants")
    assert done.returncode == 2
    assert "the following arguments are required: VERB" in done.stderr


@pytest.mark.parametrize("verb", ["list", "check"])
def test_a_reader_that_left_the_pipe_is_no_noise(manage, verb):
    """A small output lies in Python's buffer until the end, so the pipe breaks when it is flushed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = manage("tenants", verb, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


# In this process


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
