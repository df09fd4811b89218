"""Stock commands that take an alias: one must be named, and the right plane's."""

from __future__ import annotations

import os
import subprocess

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from tenancy.exceptions import DatabaseUnavailable
from tenancy.testing import databases, repointed


@pytest.fixture
def shell(monkeypatch):
    """Records how the database's own client would be called."""
    calls = []

    def run(command, env=None, **kwargs):
        calls.append((command, {**os.environ, **(env or {})}))

    monkeypatch.setattr(subprocess, "run", run)
    # Set first: what was not there is else not taken away again, and the next test's servers would see it.
    monkeypatch.setenv("PGOPTIONS", "")
    monkeypatch.delenv("PGOPTIONS")
    return calls


@databases("initech", transaction=True)
def test_dbshell_opens_the_named_tenants_database_in_its_schema(shell):
    call_command("dbshell", database="initech")
    command, environment = shell[0]
    assert connections["initech"].settings_dict["NAME"] in command
    schema = connections["initech"].settings_dict["SCHEMA"]
    assert environment.get("PGOPTIONS") == (f"-c search_path={schema}" if schema else None)
    assert schema in (None, "initech")


@databases("acme", transaction=True)
def test_dbshell_makes_no_database(shell, tmp_path):
    name = str(tmp_path / "missing") if connections["acme"].vendor == "sqlite" else "missing"
    with repointed("acme", NAME=name), pytest.raises(DatabaseUnavailable):
        call_command("dbshell", database="acme")
    assert shell == []
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("command", ["dbshell", "createsuperuser", "migrate", "showmigrations"])
def test_a_command_without_a_database_names_the_aliases(command):
    with pytest.raises(CommandError, match="Name one with --database: control, acme, globex") as error:
        call_command(command)
    assert error.value.returncode == 2


def test_createsuperuser_refuses_a_tenants_database():
    with pytest.raises(CommandError, match="Write --database control"):
        call_command("createsuperuser", database="acme", interactive=False, email="root@example.com")
