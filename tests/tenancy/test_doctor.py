"""``tenants check --connect``: each fault is made and found, and told with its tenant and a way out."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import CommandError
from django.db import OperationalError, connections
from django.test import override_settings

from catalog.models import Category
from tenancy import doctor
from tenancy.connections import maintenance
from tenancy.context import current_tenant, tenant_context
from tenancy.doctor import Doctor, Stamp, State
from tenancy.exceptions import RegistryUnavailable, TenantsFileError
from tenancy.findings import Finding
from tenancy.pool import pool
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, empty_database, only_tenants, repointed
from tests.settings import ENGINE
from tests.tenancy.command import tenants
from users.examinations import memberships_without_tenant
from users.models import Membership

POSTGRESQL = ENGINE == "postgresql"
ALL = ["acme", "globex", "initech"]
SECRET = "hunter2-s3cret"

pytestmark = databases("control", *ALL, transaction=True)


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch):
    """Other databases are other tests' here. What is around is the subject of ``test_orphans.py``."""
    monkeypatch.setattr(doctor, "Orphans", lambda *_: ())


def check(*arguments, grants=False):
    """The exit status, what was printed, and what is wrong. Grants are left out: the tests' own role is the
    superuser's, and copied files have the modes of copies."""
    skipped = () if grants else ("--skip-grants",)
    code, out, err = tenants("check", "--connect", *skipped, *arguments)
    assert SECRET not in out + err
    assert "Traceback" not in out + err
    assert current_tenant() is None
    return code, out, err.splitlines()


def facts(*arguments, **options):
    """The lines of JSON about tenants by id, and the others."""
    code, out, _ = check("--json", *arguments, **options)
    lines = [json.loads(line) for line in out.splitlines()]
    by_id = {line["tenant"]: line for line in lines if line["about"] == "tenant"}
    return code, by_id, [line for line in lines if line["about"] != "tenant"]


def execute(alias, sql, params=None):
    with maintenance(alias) as connection, connection.cursor() as cursor:
        cursor.execute(sql, params)


@contextmanager
def changed(alias, sql, undo):
    execute(alias, sql)
    try:
        yield
    finally:
        execute(alias, undo)


def without_migration(alias, app, name):
    return changed(
        alias,
        f"DELETE FROM django_migrations WHERE app = '{app}' AND name = '{name}'",
        f"INSERT INTO django_migrations (app, name, applied) VALUES ('{app}', '{name}', CURRENT_TIMESTAMP)",
    )


def with_migration(alias, app, name):
    return changed(
        alias,
        f"INSERT INTO django_migrations (app, name, applied) VALUES ('{app}', '{name}', CURRENT_TIMESTAMP)",
        f"DELETE FROM django_migrations WHERE app = '{app}' AND name = '{name}'",
    )


# A fleet that is well


def test_a_fleet_that_is_well_is_a_table_and_nothing_else():
    code, out, lines = check()
    assert (code, lines) == (0, [])
    head, *rows = out.splitlines()
    assert head.split() == [
        "database", "connect", "trip", "stamp", "migrations", "schema", "size", "findings",
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == ["control", *ALL]
    assert all(row.rstrip().endswith("none") and "up to date" in row for row in rows)
    assert all(" own " in row for row in rows[1:])


def test_for_machines_each_tenant_is_a_line():
    code, found, others = facts()
    assert code == 0
    assert sorted(found) == ALL
    acme = found["acme"]
    assert acme["result"] == "ok"
    assert acme["error"] == ""
    assert acme["stamp"] == "own"
    assert acme["migrations"] == {"state": "up_to_date", "missing": [], "unknown": []}
    assert acme["findings"] == []
    assert 0 < acme["trip_ms"] < 10_000
    assert 0 < acme["connect_ms"] < 10_000
    assert acme["size"] > 10_000
    assert len({row["fingerprint"] for row in found.values()}) == 1
    assert len(acme["fingerprint"]) == 16
    [control] = others
    assert (control["about"], control["tenant"], control["result"]) == ("control", None, "ok")
    assert control["size"] > 10_000
    assert control["stamp"] is None


def test_a_size_is_the_tenants_own():
    _, found, _ = facts()
    if POSTGRESQL:  # a schema, whose database holds the server's own tables too
        assert found["initech"]["size"] < found["acme"]["size"] / 4
    else:
        assert found["acme"]["size"] == Path(connections["acme"].settings_dict["NAME"]).stat().st_size


def test_a_size_grows_with_what_is_kept():
    _, before, _ = facts("initech")
    with tenant_context("initech"):
        Category.objects.bulk_create(Category(name=f"c{n}", description="x" * 500) for n in range(300))
    _, after, _ = facts("initech")
    assert after["initech"]["size"] > before["initech"]["size"] + 100_000


def test_it_changes_nothing_and_leaves_no_connection():
    def everything():
        found = []
        for alias in ALL:
            with maintenance(alias) as connection, connection.cursor() as cursor:
                for table in sorted(connection.introspection.table_names(cursor)):
                    cursor.execute(f'SELECT * FROM "{table}"')
                    found.append((alias, table, sorted(map(repr, cursor.fetchall()))))
        return found

    with tenant_context("acme"):
        Category.objects.create(name="canary")
    before = everything()
    code, *_ = check()
    assert code == 0
    assert everything() == before
    assert [pool.open_connections(alias) for alias in ("globex", "initech")] == [0, 0]


def test_suspended_and_read_only_tenants_are_looked_at_as_well():
    with changed_tenant("globex", status=Status.SUSPENDED), changed_tenant("acme", status=Status.READ_ONLY):
        assert [row.split()[0] for row in check()[1].splitlines()[2:]] == ALL  # in the file's order
        for arguments in ([], ["--all"], ["glob*", "acme"]):
            code, found, _ = facts(*arguments)
            assert code == 0
            assert found["globex"]["result"] == found["acme"]["result"] == "ok"
        with without_migration("globex", "catalog", "0001_initial"):
            assert check()[0] == 1


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ([], ALL),
        (["--all"], ALL),
        (["acme", "init*"], ["acme", "initech"]),
        (["--label", "plan=gold"], ["acme"]),
        (["--exclude", "acme"], ["globex", "initech"]),
    ],
)
def test_tenants_are_chosen_as_for_the_other_verbs_and_all_are_the_default(arguments, seen):
    assert sorted(facts(*arguments)[1]) == seen


def test_one_job_without_threads_finds_the_same():
    with mock.patch.object(Doctor, "examine", autospec=True, side_effect=Doctor.examine) as examine:
        assert facts("--jobs", "1", "--timeout", "60")[0] == 0
    assert examine.call_count == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--connect", "acne"], "Did you mean 'acme'?"),
        (["--connect", "acme", "--all"], "not both"),
        (["--connect", "--label", "plan=tin"], "No tenant is selected"),
        (["one.yaml", "two.yaml"], "Name one file; tenants are examined with --connect."),
        (["--json"], "--json goes with --connect."),
        (["--skip-grants"], "--skip-grants goes with --connect."),
        (["--exclude", "acme"], "--exclude goes with --connect."),
    ],
)
def test_wrong_usage_is_told_and_nothing_is_opened(arguments, words):
    opened = mock.patch.object(doctor, "maintenance", side_effect=AssertionError)
    with opened, pytest.raises(CommandError) as caught:
        tenants("check", *arguments)
    assert words in str(caught.value)
    assert caught.value.returncode == 2


def test_without_a_valid_file_there_is_nobody_to_examine():
    refused = Registry({}, error=TenantsFileError("tenants.yaml", []))
    with override_settings(TENANCY_REGISTRY=refused), pytest.raises(RegistryUnavailable):
        check()


# Reaching


def test_who_cannot_be_reached_stops_no_other_and_is_told_with_the_reason():
    with repointed("globex", NAME="/dev/null/nowhere", PASSWORD=SECRET):
        code, out, lines = check()
        _, found, _ = facts()
    assert code == 1
    assert len(out.splitlines()) == 5
    line, end = lines
    assert line.startswith(
        "unreachable: globex: DatabaseUnavailable: The database of 'globex' is unavailable: "
    )
    reason = (
        "does not exist); see that its server is up, and check its URL."
        if POSTGRESQL
        else ("its file is not there; `manage.py migrate --database globex` makes it")
    )
    assert reason in line
    assert end == "2 of 3 tenants are well."
    assert [found[alias]["result"] for alias in ALL] == ["ok", "unreachable", "ok"]
    assert "stamp" not in found["globex"]


def test_a_control_plane_that_is_away_stops_no_tenant():
    with repointed("control", NAME="/dev/null/nowhere", PASSWORD=SECRET):
        code, found, others = facts()
        _, out, lines = check("acme")
    assert code == 1
    assert [row["result"] for row in found.values()] == ["ok"] * 3
    assert others[0]["result"] == "unreachable"
    assert lines[0].startswith("unreachable: control: DatabaseUnavailable: ")
    assert lines[1] == "1 of 1 tenants are well."
    assert out.splitlines()[1].split() == ["control", "unreachable"]
    # Nor can it be asked who belongs where.
    assert [(line["about"], line["code"]) for line in others[1:]] == [("fleet", "unfinished")]


def test_an_error_that_nobody_thought_of_is_that_tenants():
    def read(connection):
        if connection.alias == "globex":
            raise OperationalError(f"password={SECRET} broken")
        return real(connection)

    real = doctor.read_standing
    with mock.patch.object(doctor, "read_standing", read):
        code, found, _ = facts()
    assert code == 1
    assert found["globex"]["result"] == "unreachable"
    assert found["acme"]["result"] == "ok"


def test_who_migrates_just_now_is_busy():
    with mock.patch.object(doctor, "Route") as route:
        route.return_value.recorded = frozenset()
        code, found, _ = facts("acme")
    assert (code, found["acme"]["result"]) == (1, "busy")
    assert "somebody migrates it" in found["acme"]["error"]


# The stamp


def test_a_stamp_of_somebody_elses_is_found_and_not_said_whose():
    with changed(
        "globex",
        "UPDATE tenancy_stamp SET tenant_id = 'hooli'",
        "UPDATE tenancy_stamp SET tenant_id = 'globex'",
    ):
        code, out, lines = check(grants=POSTGRESQL)
        _, found, _ = facts()
    assert code == 1
    [line] = [line for line in lines if line.startswith("error: globex: ")]
    assert line.startswith("error: globex: stamp: Its stamp names another owner. Check its URL in ")
    assert "hooli" not in out + "".join(lines)
    assert (found["globex"]["stamp"], found["globex"]["result"]) == ("foreign", "failed")
    assert found["globex"]["size"] is None
    assert found["acme"]["findings"] == []


def test_tables_without_a_stamp_are_found():
    with changed(
        "globex", "ALTER TABLE tenancy_stamp RENAME TO gone", "ALTER TABLE gone RENAME TO tenancy_stamp"
    ):
        code, found, _ = facts()
    assert code == 1
    globex = found["globex"]
    assert (globex["stamp"], globex["fingerprint"]) == ("missing", None)
    assert [finding["code"] for finding in globex["findings"]] == ["unstamped"]
    assert "`manage.py tenants provision globex --adopt`" in globex["findings"][0]["text"]


def test_the_control_planes_url_that_leads_to_a_tenant_is_found():
    with repointed("control", NAME=connections["acme"].settings_dict["NAME"]):
        code, _, others = facts("globex")
    assert code == 1
    assert [finding["code"] for finding in others[0]["findings"]] == ["stamp"]


# Migrations


def test_a_tenant_that_is_behind_is_found_and_by_what():
    with without_migration("globex", "catalog", "0001_initial"):
        code, out, lines = check()
        _, found, _ = facts()
    assert code == 1
    assert lines == [
        "error: globex: behind: It lacks catalog.0001_initial. Run `manage.py migrate --database globex`.",
        "2 of 3 tenants are well.",
    ]
    assert ["behind by 1" in row for row in out.splitlines()[1:]] == [False, False, True, False]
    assert found["globex"]["result"] == "behind"
    assert found["globex"]["migrations"] == {
        "state": "behind",
        "missing": ["catalog.0001_initial"],
        "unknown": [],
    }


def test_a_tenant_that_is_ahead_of_the_code_is_found():
    with with_migration("globex", "catalog", "0999_tomorrow"):
        code, out, lines = check()
        _, found, _ = facts()
    assert code == 1
    assert lines[0].startswith(
        "error: globex: ahead: It has migrations that this code does not: catalog.0999_tomorrow. "
    )
    assert "ahead by 1" in out
    assert (found["globex"]["result"], found["globex"]["migrations"]["state"]) == ("failed", "ahead")


def test_an_empty_database_is_found(tmp_path):
    with empty_database("globex", tmp_path):
        if not POSTGRESQL:
            Path(connections["globex"].settings_dict["NAME"]).touch()
        code, _, lines = check()
        _, found, _ = facts()
    assert code == 1
    assert lines[0] == (
        "error: globex: empty: Its database has no tables yet. Run `manage.py migrate --database globex`."
    )
    globex = found["globex"]
    assert (globex["stamp"], globex["migrations"]["state"], globex["fingerprint"]) == (
        "missing",
        "empty",
        None,
    )
    assert globex["result"] == "behind"


def test_a_control_plane_that_is_behind_is_found():
    with without_migration("control", "users", "0001_initial"):
        code, _, others = facts("acme")
        assert code == 1
    # Apps of Django's come after it, so that its history contradicts itself.
    assert [finding["code"] for finding in others[0]["findings"]] == ["history"]
    with without_migration("control", "sessions", "0001_initial"):
        code, _, others = facts("acme")
    assert (code, others[0]["migrations"]["missing"]) == (1, ["sessions.0001_initial"])
    assert others[0]["result"] == "behind"


def test_a_history_that_contradicts_itself_is_found():
    with mock.patch.object(doctor, "Route", side_effect=doctor.NoRoute("Two migrations are the last ones.")):
        code, found, _ = facts("acme")
    assert (code, found["acme"]["result"]) == (1, "failed")
    assert found["acme"]["migrations"]["state"] == "unknown"
    assert "Two migrations are the last ones. Compare" in found["acme"]["findings"][0]["text"]


def test_tenants_that_stand_alike_are_compared_with_the_code_once():
    with mock.patch.object(doctor, "Route", wraps=doctor.Route) as route:
        examined = Doctor(get_registry())
        for tenant in get_registry():
            with tenant_context(tenant):
                found = examined.examine(tenant)
            assert (found.stamp, found.migrations.state) == (Stamp.OWN, State.UP_TO_DATE)
    assert route.call_count == 1


if POSTGRESQL:

    def test_a_schema_that_is_not_there_is_found():
        with repointed("initech", SCHEMA="nowhere"):
            code, found, _ = facts("initech")
        assert code == 1
        assert found["initech"]["stamp"] == "missing"
        assert [finding["code"] for finding in found["initech"]["findings"]] == ["schema_missing"]

    # The role and its grants. Which gaps there are is the subject of ``test_hardening.py``.

    def test_a_role_that_may_too_much_is_an_error():
        code, out, lines = check("acme", grants=True)
        assert code == 1
        assert lines[0].startswith("error: acme: superuser: Its role is a superuser")
        assert "error" in out.splitlines()[2]

    def test_in_a_shared_database_its_neighbours_are_known():
        neighbour = get_registry().get("acme")
        with changed_tenant("globex", database={**neighbour.database, "SCHEMA": "globex"}):
            found = Doctor(get_registry())
            assert [other.id for other in found._neighbours(neighbour)] == ["globex"]
            assert found._neighbours(get_registry().get("initech")) == []

    def test_a_pooler_that_lets_nobody_in_is_found_beside_a_server_that_does():
        there = dict(get_registry().get("acme").database)
        with changed_tenant("acme", direct=there):
            assert "pooler" not in codes(facts("acme", grants=True)[1]["acme"])
            with repointed("acme", NAME="no_such_pool", PASSWORD=SECRET):
                code, found, _ = facts("acme", grants=True)
        assert code == 1
        assert found["acme"]["stamp"] == "own"
        assert codes(found["acme"]) == ["pooler"]
        assert "does not exist. See that it is up" in found["acme"]["findings"][0]["text"]

else:

    @pytest.fixture
    def private_files():
        for alias in ("control", *ALL):
            Path(connections[alias].settings_dict["NAME"]).chmod(0o600)

    def test_a_file_that_others_may_read_is_found(private_files):
        assert check(grants=True)[0] == 0
        Path(connections["globex"].settings_dict["NAME"]).chmod(0o644)
        code, _, lines = check(grants=True)
        assert code == 1
        assert lines[0].startswith(
            "error: globex: file_mode: Others on the machine may read or write its file"
        )
        assert check()[0] == 0

    def test_a_folder_that_is_made_for_a_file_is_its_owners_alone(tmp_path):
        made = tmp_path / "made"
        with repointed("acme", NAME=str(made / "acme.sqlite3")), maintenance("acme") as connection:
            connection.ensure_connection()
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def codes(row):
    return [finding["code"] for finding in row["findings"]]


GAP = Finding("superuser", "Its role is a superuser. Name another.")


@pytest.mark.parametrize(("debug", "status", "level"), [(True, 0, "warning"), (False, 1, "error")])
def test_a_gap_is_an_error_where_the_file_is_read_as_in_production(debug, status, level):
    with override_settings(DEBUG=debug), mock.patch.object(doctor, "verify", return_value=[GAP]):
        code, out, lines = check("acme", grants=True)
    assert code == status
    assert lines[0] == f"{level}: acme: superuser: Its role is a superuser. Name another."
    assert out.splitlines()[2].rstrip().endswith(f"1 {level}")


def test_who_skips_the_grants_does_not_ask_for_them():
    with mock.patch.object(doctor, "verify", return_value=[GAP]) as verify:
        assert check()[0] == 0
        assert not verify.called
        assert check(grants=True)[0] == 1


def test_grants_that_cannot_be_asked_for_are_told():
    with mock.patch.object(doctor, "verify", side_effect=OperationalError("permission denied\nDETAIL")):
        code, found, _ = facts("acme", grants=True)
    assert code == 1
    assert found["acme"]["findings"] == [
        {
            "level": "error",
            "code": "grants",
            "text": "Its rights cannot be asked for: permission denied. Look at its role.",
        }
    ]


# The schema beside the others'


EXTRA = "ALTER TABLE catalog_product ADD COLUMN extra integer"
NO_EXTRA = "ALTER TABLE catalog_product DROP COLUMN extra"
INDEX = "CREATE INDEX product_by_price ON catalog_product (price, id)"
NO_INDEX = "DROP INDEX product_by_price"
IF_ANY = 'CREATE INDEX "product_by_price" ON "catalog_product" ("price", "id")'


def test_a_schema_that_is_another_than_the_majoritys_is_found_and_what_differs():
    with changed("globex", EXTRA, NO_EXTRA), changed("globex", NO_INDEX, IF_ANY):
        code, out, lines = check()
        _, found, others = facts()
    assert code == 1
    assert lines == [
        (
            "error: globex: schema: Its schema differs from that of most tenants with the same migrations "
            "('acme' and 1 more): column catalog_product.extra is not in the others, index product_by_price "
            "is missing. Find out who changed it, and change it back by hand."
        ),
        "2 of 3 tenants are well.",
    ]
    assert [" differs " in row for row in out.splitlines()[1:]] == [False, False, True, False]
    assert found["acme"]["fingerprint"] == found["initech"]["fingerprint"] != found["globex"]["fingerprint"]
    assert [(line["about"], line["tenant"], line["code"]) for line in others[1:]] == [
        ("fleet", "globex", "schema")
    ]
    assert check()[0] == 0


def test_of_two_that_differ_neither_is_said_to_be_right():
    with changed("acme", EXTRA, NO_EXTRA):
        code, _, lines = check("acme", "globex")
    assert code == 1
    assert "differs from that of 'acme', with the same migrations, and neither is in the majority" in lines[0]
    assert lines[0].startswith("error: globex: schema: ")
    assert "column catalog_product.extra is missing" in lines[0]


def test_tenants_with_the_same_schema_are_looked_at_once_for_all():
    looked = mock.patch.object(doctor, "read_parts", wraps=doctor.read_parts)
    with changed("globex", EXTRA, NO_EXTRA), changed("initech", EXTRA, NO_EXTRA), looked as read:
        _, _, lines = check()
    # The two are the majority; acme is the one that differs.
    assert [line.split(":")[1] for line in lines[:-1]] == [" acme"]
    assert read.call_count == 2


def test_schemas_of_other_migrations_are_not_compared():
    with changed("globex", EXTRA, NO_EXTRA), with_migration("globex", "catalog", "0999_tomorrow"):
        _, found, others = facts()
    assert codes(found["globex"]) == ["ahead"]
    assert len(others) == 1


def test_one_that_is_gone_when_it_is_looked_at_again_is_told_without_details():
    gone = mock.patch.object(doctor, "read_parts", side_effect=OperationalError("gone"))
    with changed("globex", EXTRA, NO_EXTRA), gone:
        code, _, lines = check()
    assert code == 1
    assert "('acme' and 1 more): one of the two cannot be looked at any more. Find" in lines[0]


def test_many_names_are_cut_short():
    assert doctor._some("abcdefg") == "a, b, c, d, e and 2 more"
    assert doctor._some("abc") == "a, b, c"


# What is around the fleet


def test_memberships_of_a_tenant_that_is_gone_are_found(cast):
    assert check()[0] == 0
    Membership.objects.create(user=cast.eve, tenant_id="umbrella", role="member")
    code, _, lines = check()
    assert code == 1
    assert lines == [
        (
            "error: the fleet: memberships: 1 user belongs to 'umbrella', which is not in tenants.yaml. Put "
            "the entry back, or take the memberships away: `manage.py membership remove EMAIL umbrella`, or "
            "in the admin."
        ),
        "3 of 3 tenants are well.",
    ]
    Membership.objects.create(user=cast.ada, tenant_id="umbrella", role="member")
    _, _, others = facts()
    assert others[1] | {"text": ""} == {
        "about": "fleet",
        "tenant": None,
        "level": "error",
        "code": "memberships",
        "text": "",
    }
    assert others[1]["text"].startswith("2 users belong to 'umbrella'")
    with only_tenants("acme"):
        assert {line["text"].split("'")[1] for line in facts()[2][1:]} == {"globex", "umbrella"}


@pytest.mark.parametrize("arguments", [["acme"], ["--label", "plan=gold"], ["--exclude", "globex"]])
def test_who_chooses_tenants_is_not_told_of_the_fleet(cast, arguments):
    Membership.objects.create(user=cast.eve, tenant_id="umbrella", role="member")
    assert check(*arguments)[0] == 0
    assert check("--all")[0] == 1


def test_an_app_may_examine_the_fleet_too(monkeypatch):
    monkeypatch.setattr(doctor, "_further", [memberships_without_tenant])

    def notes(registry):
        yield Finding("notes", f"{len(registry)} tenants have notes. Read them.", is_warning=True)

    assert doctor.register(notes) is notes
    doctor.register(notes)  # again, as when an app is made ready twice
    code, _, lines = check()
    assert (code, lines) == (0, ["warning: the fleet: notes: 3 tenants have notes. Read them."])


def test_what_is_around_is_asked_over_tenants_that_could_be_reached():
    asked = []

    def orphans(registry, reached):
        asked.extend(tenant.id for tenant in reached)
        return ()

    with mock.patch.object(doctor, "Orphans", orphans), repointed("globex", NAME="/dev/null/nowhere"):
        check()
    assert sorted(asked) == ["acme", "initech"]


def test_examinations_are_loaded_by_who_examines_and_by_nobody_else():
    code = (
        "import sys, django; django.setup(); print('tenancy.doctor' in sys.modules); "
        "from tenancy.doctor import _further, examine_surroundings; from tenancy.registry import Registry; "
        "next(examine_surroundings(Registry({}), []), None); print([one.__module__ for one in _further])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "['users.examinations']"]
