"""``manage.py tenants run``, ``query`` and ``shell``: for a selection of tenants, each in its own context."""

from __future__ import annotations

import json
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from catalog.models import Category
from tenancy.context import current_tenant, tenant_context
from tenancy.fleet import each_tenant
from tenancy.pool import pool
from tenancy.queries import Answer, QueryRefused, require_one_statement
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, repointed
from tenancy.transactions import tenant_atomic
from tests.tenancy.command import tenants

ALL = ["acme", "globex", "initech"]

pytestmark = databases("control", *ALL, transaction=True)


@pytest.fixture(autouse=True)
def one_category_each():
    for tenant in each_tenant():
        Category.objects.create(name=f"canary-{tenant.id}")


def rows(output):
    return [json.loads(line) for line in output.splitlines()]


# run


def test_a_command_runs_for_each_tenant_on_its_own_database():
    code, out, err = tenants("run", "--all", "--jobs", "2", "--json", "--", "dumpdata", "catalog.category")
    assert (code, err) == (0, "")
    found = {row["tenant"]: row for row in rows(out)}
    assert sorted(found) == ALL
    for tenant_id, row in found.items():
        assert row["result"] == "ok"
        assert [entry["fields"]["name"] for entry in json.loads(row["output"])] == [f"canary-{tenant_id}"]
    assert current_tenant() is None


def test_what_it_printed_is_shown_below_its_tenant():
    code, out, _ = tenants("run", "globex", "--", "showmigrations", "catalog")
    assert code == 0
    head, *lines = out.splitlines()
    assert head.startswith("globex: ok (")
    assert lines[0] == "    catalog"


def test_what_fails_for_one_stops_no_other_and_exits_1():
    with repointed("globex", NAME="/dev/null/no_such_database"):
        code, out, err = tenants("run", "--all", "--", "dumpdata", "catalog.category")
    assert code == 1
    assert [line.partition(" (")[0] for line in out.splitlines() if not line.startswith(" ")] != []
    assert sum(": ok (" in line for line in out.splitlines()) == 2
    assert "failed: globex: CommandFailed: " in err or "unreachable: globex: " in err
    assert "2 of 3 tenants are ok." in err


def test_a_tenant_that_is_behind_is_migrated_and_others_are_left_as_they_are():
    call_command("migrate", "catalog", "zero", database="globex", verbosity=0)
    try:
        code, out, err = tenants("run", "--all", "--", "showmigrations", "--plan")
        assert code == 1
        assert "behind: globex: TenantMigrating" in err
        code, out, err = tenants("run", "--all", "--", "migrate")
        assert (code, err) == (0, "")
        assert out.count("Applying catalog.0001_initial") == 1
    finally:
        call_command("migrate", database="globex", verbosity=0)
    with tenant_context("globex"):
        assert Category.objects.count() == 0
    with tenant_context("acme"):
        assert Category.objects.count() == 1


def test_a_command_that_ends_with_a_status_has_failed():
    code, _, err = tenants("run", "acme", "--", "migrate", "--check", "catalog", "zero")
    assert code == 1
    assert "failed: acme: CommandFailed" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--all"], "Put the command after"),
        (["run", "--all", "--", "no-such-command"], "Unknown command: 'no-such-command'"),
        (["run", "--all", "--", "migrate", "--database", "acme"], "Leave --database out"),
        (["run", "--", "check"], "Name tenants"),
        (["run", "acne", "--", "check"], "Did you mean 'acme'?"),
        (["run", "--all", "--jobs", "0", "--", "check"], "'0' is not a number from 1 on"),
        (["run", "--all", "--timeout", "-1", "--", "check"], "no number of seconds above zero"),
        (["run", "--all", "--label", "plan", "--", "check"], "'plan' is not NAME=VALUE"),
        (["query", "SELECT 1; SELECT 2", "--all"], "Ask one statement, not 2."),
        (["query", " ; ", "--all"], "Ask one statement, not 0."),
    ],
)
def test_wrong_usage_is_told_and_nothing_is_run(arguments, words):
    with pytest.raises(CommandError) as caught:
        tenants(*arguments)
    assert words in str(caught.value)


def test_suspended_tenants_are_left_out_and_named_unless_they_are_asked_for():
    with changed_tenant("globex", status=Status.SUSPENDED):
        code, out, err = tenants("run", "--all", "--", "showmigrations", "catalog")
        assert code == 0
        assert "globex: skipped" in out
        assert "skipped: globex: suspended" in err
        code, out, _ = tenants("run", "globex", "--", "showmigrations", "catalog")
        assert (code, "globex: ok" in out) == (0, True)


# query


def test_rows_are_merged_with_their_tenant():
    code, out, err = tenants("query", "SELECT name FROM catalog_category", "--all", "--format", "json")
    assert (code, err) == (0, "")
    assert sorted((row["tenant"], row["row"]["name"]) for row in rows(out)) == [
        (tenant_id, f"canary-{tenant_id}") for tenant_id in ALL
    ]
    assert pool.open_connections("acme") <= 1  # this test's own


@pytest.mark.parametrize("kind", ["table", "csv"])
def test_they_are_a_table_or_csv_as_well(kind):
    code, out, _ = tenants(
        "query", "SELECT name AS n, NULL AS x FROM catalog_category;", "acme", "globex", "--format", kind
    )
    assert code == 0
    head, *lines = out.splitlines()
    assert head.replace(",", " ").split() == ["tenant", "n", "x"]
    assert sorted(line.replace(",", " ").split() for line in lines) == [
        [tenant_id, f"canary-{tenant_id}"] for tenant_id in ("acme", "globex")
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH gone AS (SELECT 1) DELETE FROM catalog_category",
        "SELECT 5 # 3; COMMIT; UPDATE catalog_category SET description = 'x'; SELECT 1",
        r"SELECT '\'; COMMIT; UPDATE catalog_category SET description = 'x'; SELECT '\'",
    ],
)
def test_it_cannot_write_whatever_is_hidden_in_it(sql):
    code, _, err = tenants("query", sql, "acme")
    assert code == 1
    assert "failed: acme: " in err
    with tenant_context("acme"):
        assert Category.objects.get().description == ""
        Category.objects.create(name="written after")  # on whatever connection it left


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM catalog_category", "CREATE TABLE x (id int)", "PRAGMA hard_heap_limit=1", "COPY x TO '/x'"],
)
def test_what_is_no_query_is_wrong_usage(sql):
    with pytest.raises(CommandError, match="Ask with SELECT"):
        tenants("query", sql, "acme")


def test_columns_that_are_others_are_a_failure():
    with tenant_context("globex"):
        pass
    sql = "SELECT name FROM catalog_category"
    answers = {"acme": Answer(("a", "b"), [(1, 2)]), "globex": Answer(("a",), [(1,)])}
    with mock.patch("tenancy.management.verbs.query.ask", lambda tenant, *_, **__: answers[tenant.id]):
        code, out, err = tenants("query", sql, "acme", "globex", "--jobs", "1", "--format", "csv")
    assert code == 1
    assert len(out.splitlines()) == 2
    assert "its columns are others than the first tenant's" in err


def test_a_query_that_takes_too_long_is_broken_off():
    with tenant_context("acme"), tenant_atomic():
        vendor = Category.objects.db
    assert vendor == "acme"
    forever = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
    code, _, err = tenants("query", forever, "acme", "--timeout", "0.5")
    assert code == 1
    assert "timed_out: acme: took longer than 0.5 s" in err


def test_more_rows_than_were_asked_for_are_no_answer():
    with tenant_context("acme"):
        Category.objects.create(name="two")
    code, out, err = tenants(
        "query", "SELECT name FROM catalog_category", "--all", "--limit", "1", "--format", "json"
    )
    assert code == 1
    assert "failed: acme: QueryRefused: more than 1 rows" in err
    assert sorted(row["tenant"] for row in rows(out)) == ["globex", "initech"]


@pytest.mark.parametrize(
    ("text", "statement"),
    [("SELECT 1", "SELECT 1"), (" SELECT ';' ; \n", "SELECT ';'"), ("SELECT $$;$$", "SELECT $$;$$")],
)
def test_a_statement_may_end_with_a_semicolon(text, statement):
    assert require_one_statement(text).strip() == statement


@pytest.mark.parametrize("text", ["", ";", "SELECT 1; COMMIT", "COMMIT; DROP TABLE x; BEGIN"])
def test_more_or_less_than_one_are_refused(text):
    with pytest.raises(QueryRefused):
        require_one_statement(text)


# shell


def test_the_shell_is_in_the_tenants_context(capsys):
    code = "from catalog.models import Category; print(Category.objects.get().name)"
    call_command("tenants", "shell", "globex", "-c", code)
    assert capsys.readouterr().out.strip().splitlines()[-1] == "canary-globex"
    assert current_tenant() is None
