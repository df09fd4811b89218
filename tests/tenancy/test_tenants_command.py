"""``manage.py tenants``: check a file, list the tenants."""

from __future__ import annotations

import io
import json
import re

import pytest
from django.conf import settings
from django.core.management import CommandError
from django.test import override_settings
from rich.table import Table

from tenancy.console import print_table
from tenancy.exceptions import Problem, TenantsFileError
from tenancy.registry import Registry
from tenancy.tenant import Status, Tenant
from tests.tenancy.command import tenants

SECRET = "hunter2-s3cret"
SQLITE = {"ENGINE": "tenancy.backends.sqlite3", "NAME": "/srv/acme.sqlite3"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def with_tenants(*tenants):
    return override_settings(TENANCY_REGISTRY=Registry({tenant.id: tenant for tenant in tenants}))


REFUSED = override_settings(
    TENANCY_REGISTRY=Registry({}, error=TenantsFileError("tenants.yaml", [Problem(7, "version", "missing")]))
)


def test_check_counts_the_tenants_of_the_file_in_use():
    assert tenants("check") == (0, "tenants.yaml: 3 tenants, all valid.\n", "")


def test_check_reads_another_file_and_opens_no_database(tmp_path):
    """A test that names no database may open none."""
    file = tmp_path / "new.yaml"
    file.write_text("version: 1\ntenants:\n  acme: {name: A, url: 'postgres://nowhere.invalid/acme'}\n")
    assert tenants("check", str(file)) == (0, "new.yaml: 1 tenant, all valid.\n", "")


def test_check_tells_every_fault_in_a_line_and_exits_1(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(
        f"version: 2\ntenants:\n  acme: {{name: A, url: 'postgres://app:{SECRET}@db1/acme?host=x'}}\n"
        f"  globex: {{name: G, url: 'postgres://app:{SECRET}@db1/globex'}}\n"
    )
    code, stdout, stderr = tenants("check", str(file))
    assert (code, stdout) == (1, "")
    assert SECRET not in stderr
    assert [line.split(": ")[:2] for line in stderr.splitlines()] == [
        ["bad.yaml:1", "version"],
        ["bad.yaml:3", "tenants.acme.url"],
        ["bad.yaml:4", "tenants.globex.url"],  # a password in plain text: the tests run as in production
    ]


@pytest.mark.parametrize("debug", [True, False])
def test_check_is_as_strict_as_the_service(tmp_path, debug):
    file = tmp_path / "tenants.yaml"
    file.write_text(f"version: 1\ntenants:\n  acme: {{name: A, url: 'postgres://a:{SECRET}@db1/acme'}}\n")
    with override_settings(DEBUG=debug):
        assert tenants("check", str(file))[0] == (0 if debug else 1)
    with override_settings(DEBUG=True, TENANCY_MAX_FILE_BYTES=20):
        assert "over 20 bytes" in tenants("check", str(file))[2]


def test_check_refuses_the_control_planes_database(tmp_path, monkeypatch):
    control = {
        "ENGINE": "tenancy.backends.postgresql",
        "HOST": "db1",
        "PORT": "",
        "NAME": "acme",
        "SCHEMA": "public",
    }
    monkeypatch.setitem(settings.DATABASES, "control", control)
    file = tmp_path / "tenants.yaml"
    file.write_text("version: 1\ntenants:\n  acme: {name: A, url: 'postgres://a@db1/acme'}\n")
    assert "the same database as the control plane" in tenants("check", str(file))[2]


@pytest.mark.parametrize("name", ["missing.yaml", ""])
def test_check_of_no_file_is_one_line(tmp_path, name):
    code, stdout, stderr = tenants("check", str(tmp_path / name))
    assert (code, stdout) == (1, "")
    assert ":1: no such file: " in stderr
    assert stderr.endswith("; create it, or set TENANTS_FILE\n")
    assert stderr.count("\n") == 1


def test_list_shows_a_row_for_each_tenant():
    acme = Tenant(
        "acme", "Acme [bold]Corp[/bold] :smile:", labels={"plan": "[red]", "region": "eu"}, database=SQLITE
    )
    globex = Tenant(
        "globex", "x" * 200, status=Status.SUSPENDED, database={"ENGINE": "tenancy.backends.postgresql"}
    )
    with with_tenants(acme, globex):
        code, stdout, _ = tenants("list")
    assert code == 0
    heading, first, second = stdout.splitlines()
    assert heading.split() == ["id", "name", "status", "engine", "labels"]
    assert first.split() == [
        "acme",
        "Acme",
        "[bold]Corp[/bold]",
        ":smile:",
        "active",
        "sqlite3",
        "plan=[red]",
        "region=eu",
    ]
    assert second.split() == ["globex", "x" * 200, "suspended", "postgresql"]


def test_list_json_is_for_machines_and_holds_no_database():
    acme = Tenant("acme", "Zoë", labels={"plan": "gold"}, database=SQLITE | {"PASSWORD": SECRET})
    with with_tenants(acme):
        code, stdout, _ = tenants("list", "--json")
    assert code == 0
    assert json.loads(stdout) == [
        {"id": "acme", "name": "Zoë", "status": "active", "engine": "sqlite3", "labels": {"plan": "gold"}}
    ]
    assert "Zoë" in stdout


def test_no_tenants_are_an_empty_list():
    with with_tenants():
        assert tenants("list", "--json") == (0, "[]\n", "")


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"]])
def test_list_of_a_refused_file_says_why(arguments):
    with REFUSED, pytest.raises(CommandError, match=r"^tenants\.yaml:7: version: missing$"):
        tenants(*arguments)


@pytest.mark.parametrize("arguments", [[], ["lst"], ["check", "a", "b"], ["list", "--yaml"]])
def test_wrong_usage_is_told(arguments):
    with pytest.raises(CommandError):
        tenants(*arguments)


def a_table():
    table = Table("id", "name", box=None, pad_edge=False)
    table.add_row("acme", "x" * 300)
    return table


def test_a_table_is_fitted_to_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    print_table(terminal, a_table())
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert [len(line) for line in lines] == [40, 40]
    assert lines[1].endswith("x…")


def test_a_table_without_a_terminal_is_never_cut_and_has_no_colours(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    print_table(stream, a_table())
    assert [line.rstrip() for line in stream.getvalue().splitlines()][1] == "acme  " + "x" * 300
    assert "\x1b" not in stream.getvalue()
