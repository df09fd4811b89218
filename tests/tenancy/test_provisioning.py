"""Adopting a database: stamped after a look at what it holds, and otherwise left as it was."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connections

from tenancy import stamp
from tenancy.connections import maintenance
from tenancy.exceptions import ForeignTables, StampMismatch, TenantNotFound
from tenancy.provisioning import adopt
from tenancy.testing import databases

pytestmark = databases("control", "acme", "globex", transaction=True)


def execute(alias, sql):
    with maintenance(alias) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def unstamped_acme():
    execute("acme", f"DROP TABLE {stamp.TABLE}")
    yield connections["acme"]
    if stamp.read(connections["acme"]) is None:
        execute("acme", stamp.CREATE)
        execute("acme", "INSERT INTO tenancy_stamp (id, tenant_id) VALUES (1, 'acme')")


def test_it_stamps_a_database_of_tenant_tables(unstamped_acme):
    assert adopt("acme") is True
    assert stamp.read(connections["acme"]) == "acme"


def test_the_statistics_that_the_database_keeps_are_nobodys_tables(unstamped_acme):
    execute("acme", "ANALYZE")  # SQLite puts them into a table, sqlite_stat1
    assert adopt("acme") is True


def test_a_second_run_changes_nothing():
    assert adopt("acme") is False
    assert stamp.read(connections["acme"]) == "acme"


def test_it_refuses_a_table_that_no_tenant_app_knows(unstamped_acme):
    execute("acme", "CREATE TABLE somebody_elses (id integer)")
    try:
        with pytest.raises(ForeignTables, match="somebody_elses"):
            adopt("acme")
        assert stamp.read(connections["acme"]) is None
    finally:
        execute("acme", "DROP TABLE somebody_elses")


def test_it_never_changes_another_stamp():
    execute("globex", "UPDATE tenancy_stamp SET tenant_id = 'acme'")
    try:
        with pytest.raises(StampMismatch):
            adopt("globex")
        with maintenance("globex") as connection:
            assert stamp.read(connection) == "acme"
    finally:
        execute("globex", "UPDATE tenancy_stamp SET tenant_id = 'globex'")


def test_an_unknown_tenant_is_named():
    with pytest.raises(TenantNotFound, match="did you mean 'acme'"):
        adopt("acmee")


def test_the_message_of_migrate_names_a_command_that_exists(unstamped_acme, capsys):
    call_command("tenants", "provision", "acme", "--adopt")
    call_command("tenants", "provision", "acme", "--adopt")
    assert capsys.readouterr().out.splitlines() == ["acme: stamped.", "acme: was stamped already."]
