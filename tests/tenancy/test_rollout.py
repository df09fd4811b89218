"""Migrating the fleet: who goes first, what stops it, what one learns from another."""

from __future__ import annotations

import importlib
import json
import threading
import time
from contextlib import closing, contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, migrations, models

from catalog.models import Category
from tenancy import rollout
from tenancy.connections import maintenance
from tenancy.context import current_tenant, tenant_context
from tenancy.exceptions import DatabaseBusy
from tenancy.fleet import each_tenant
from tenancy.ledger.journal import Journal
from tenancy.ledger.models import Entry, Run
from tenancy.lock import DatabaseLock
from tenancy.registry import get_registry
from tenancy.rollout import Gate, Halted, Rollout
from tenancy.route import Target
from tenancy.rows import add_rows
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, repointed
from tenancy.upgrade import Deferred, Upgrade, Way
from tests.sealed import Sealed
from tests.settings import ENGINE
from tests.tenancy.command import tenants

ALL = ["acme", "globex", "initech"]
PRODUCT = "catalog_product"

pytestmark = databases("control", *ALL, transaction=True)


def execute(alias, sql):
    with maintenance(alias) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


def tables(alias):
    with maintenance(alias) as connection:
        return set(connection.introspection.table_names())


@pytest.fixture(autouse=True)
def whole_again():
    """Whatever a test did, the next one finds the databases as they were."""
    yield
    upgrade = Upgrade(Target())
    for alias in ALL:
        upgrade.carry_out(alias)


@pytest.fixture
def behind():
    """None of the tenants has the catalogue's tables."""
    upgrade = Upgrade(Target("catalog", "zero"))
    for alias in ALL:
        upgrade.carry_out(alias)


def lines(output):
    return {row["tenant"]: row for row in map(json.loads, output.splitlines())}


def test_the_first_goes_by_operations_and_the_others_get_what_it_got(behind):
    code, out, err = tenants("migrate", "--all", "--json")
    assert (code, err) == (0, "")
    found = lines(out)
    ways = [row["way"] for row in found.values()]
    assert sorted(ways) == ["operations", "replay", "replay"]
    for alias in ALL:
        assert found[alias]["steps"] == ["catalog.0001_initial"]
        assert PRODUCT in tables(alias)
        with tenant_context(alias):
            Category.objects.create(name="it works")
    assert current_tenant() is None


def test_the_ledger_says_what_was_done_and_who_did_it(behind):
    tenants("migrate", "--all")
    run = Run.objects.get()
    assert (run.kind, run.tenants, run.outcome) == ("migrate", 3, "ok")
    assert run.ended_at is not None
    assert run.user
    entries = {entry.tenant_id: entry for entry in run.entries.all()}
    assert sorted(entries) == ALL
    assert "catalog" not in entries["acme"].before
    assert entries["acme"].after.startswith("catalog.0001_initial")
    code, out, _ = tenants("history", "--json")
    assert code == 0
    assert json.loads(out)["done"] == 3
    _, out, _ = tenants("history", "globex")
    assert "catalog.0001_initial" in out
    assert "acme" not in out
    _, out, _ = tenants("history", "--run", str(run.id)[:8], "--json")
    assert sorted(lines(out)) == ALL


@pytest.mark.parametrize("is_there", [True, False], ids=["it was written", "it was not"])
def test_an_entry_whose_writing_was_in_doubt_is_there_once(monkeypatch, is_there):
    facts = {"result": "ok", "way": "replay", "seconds": 1.0}

    def in_doubt(*args, **kwargs):
        monkeypatch.undo()
        if is_there:
            add_rows(*args, **kwargs)
        raise OperationalError("the connection was lost")

    with Journal("migrate", "", 2, lambda: None) as journal:
        monkeypatch.setattr("tenancy.ledger.journal.add_rows", in_doubt)
        for alias in ("acme", "globex"):
            journal._written -= 10  # so that it is time to write
            journal.note(tenant_id=alias, **facts)
        # As one that was given up, and came to an end all the same.
        journal.note(tenant_id="globex", **facts)
    entries = Entry.objects.values_list("tenant_id", "number")
    assert sorted(entries) == [("acme", 1), ("globex", 2), ("globex", 3)]


def test_where_nothing_is_to_be_done_nothing_is_written():
    code, out, _ = tenants("migrate", "--all")
    assert (code, out.split()) == (0, ["3", "up", "to", "date"])
    assert not Entry.objects.exists()
    assert Run.objects.get().outcome == "ok"


def test_without_replay_each_goes_by_operations(behind):
    _, out, _ = tenants("migrate", "--all", "--json", "--no-replay")
    assert {row["way"] for row in lines(out).values()} == {"operations"}


def test_a_router_of_the_projects_own_may_treat_tenants_differently_so_nothing_is_replayed(settings):
    settings.DATABASE_ROUTERS = ["tests.tenancy.test_rollout.Fussy", *settings.DATABASE_ROUTERS]
    assert not Upgrade(Target()).replay


class Fussy:
    pass


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ([migrations.AddField("product", "seal", Sealed(max_length=20, default="x"))], "0001_initial"),
        (
            [
                migrations.AddField("product", "seal", Sealed(max_length=20, default="x")),
                migrations.RemoveField("product", "seal"),
            ],
            "zero",
        ),
    ],
    ids=["made", "given back"],
)
def test_what_a_class_of_the_projects_writes_is_each_tenants_own(behind, monkeypatch, more, target):
    """Repeated, it would be the first tenant's in all of them."""
    module = importlib.import_module("catalog.migrations.0001_initial")
    with monkeypatch.context() as patch:
        patch.setattr(module.Migration, "operations", [*module.Migration.operations, *more])
        upgrade = Upgrade(Target("catalog", "0001_initial"))
        if target == "zero":
            assert {upgrade.carry_out(alias).way for alias in ALL} == {Way.OPERATIONS}
            upgrade = Upgrade(Target("catalog", "zero"))
        assert {upgrade.carry_out(alias).way for alias in ALL} == {Way.OPERATIONS}
        if target != "zero":
            for alias in ALL:
                Upgrade(Target("catalog", "zero")).carry_out(alias)


def test_a_table_with_a_field_of_the_projects_is_written_down_anew_for_each(behind, settings):
    """SQLite makes the table anew for any change to it."""
    settings.MIGRATION_MODULES = {"catalog": "tests.sealed.migrations"}
    first, second, back = (Upgrade(Target("catalog", name)) for name in ("0001", "0002", "zero"))
    for upgrade in (first, second, back):
        assert {upgrade.carry_out(alias).way for alias in ALL} == {Way.OPERATIONS}


# Canaries


@contextmanager
def broken_migration(monkeypatch):
    module = importlib.import_module("catalog.migrations.0001_initial")
    operations = [*module.Migration.operations, migrations.RunPython(fail)]
    with monkeypatch.context() as patch:
        patch.setattr(module.Migration, "operations", operations)
        yield


def fail(*args):
    raise RuntimeError("this one is broken")


def test_a_canary_that_fails_spares_the_others(behind, monkeypatch):
    with broken_migration(monkeypatch):
        code, _, err = tenants("migrate", "--all", "--canary", "acme")
    assert code == 1
    assert "failed: acme: RuntimeError: this one is broken" in err
    assert "Stopped: the canary acme failed." in err
    assert "skipped: globex, initech: not begun: the canary acme failed" in err
    assert not any(PRODUCT in tables(alias) for alias in ALL)
    assert Run.objects.get().outcome == "stopped"
    assert [entry.tenant_id for entry in Entry.objects.all()] == ["acme"]
    assert tenants("migrate", "--all")[0] == 0  # and it goes on from there


def test_without_a_canary_each_finds_out_by_itself(behind, monkeypatch):
    with broken_migration(monkeypatch):
        code, _, err = tenants("migrate", "--all")
    assert code == 1
    assert err.count("RuntimeError: this one is broken") == 3
    assert Run.objects.get().outcome == "failed"


def test_canaries_that_are_named_go_first(behind):
    _, out, _ = tenants("migrate", "--all", "--json", "--canary", "initech,globex", "--jobs", "1")
    assert [json.loads(line)["tenant"] for line in out.splitlines()][:2] == ["initech", "globex"]


def test_a_canary_that_cannot_be_reached_stops_it_all(behind):
    with repointed("globex", NAME="/dev/null/no_such_database"):
        code, _, err = tenants("migrate", "--all", "--canary", "globex")
    assert code == 1
    assert "Stopped: the canary globex failed." in err
    assert PRODUCT not in tables("acme")


@pytest.mark.parametrize("arguments", [(), ("--no-replay",), ("--plan",)], ids=["plain", "no replay", "plan"])
def test_somebody_elses_database_is_not_migrated(behind, arguments):
    """Nor where the way is known already: of the first on it Django's executor asks whose it is, too."""
    initechs = connections["initech"].settings_dict
    with repointed("globex", NAME=initechs["NAME"], SCHEMA=initechs["SCHEMA"]):
        code, _, err = tenants("migrate", "acme", "globex", "--jobs", "1", *arguments)
        assert code == 1
        assert "failed: globex: StampMismatch" in err
        assert "initech" not in err
    assert PRODUCT not in tables("initech")
    assert (PRODUCT in tables("acme")) is (arguments != ("--plan",))


def test_a_gate_lets_so_many_through_before_the_rest():
    gate = Gate(2)
    with gate.passage("a"), gate.passage("b"), pytest.raises(Deferred), gate.passage("c"):
        pass
    with gate.passage("c"), gate.passage("d"), gate.passage("e"):
        pass


def test_a_gate_is_closed_for_good_when_a_canary_fails():
    gate = Gate(1)
    with pytest.raises(ValueError), gate.passage("a"):
        raise ValueError
    with pytest.raises(Halted, match="the canary a failed"), gate.passage("b"):
        pass


def test_canaries_that_go_the_same_way_do_not_fail_for_waiting(behind):
    for canaries in ("2", "acme,globex"):
        code, out, err = tenants("migrate", "--all", "--canary", canaries, "--jobs", "3")
        assert (code, err, out.split()) == (0, "", ["3", "migrated"])
        code, _, err = tenants(
            "migrate", "--all", "--canary", canaries, "--to", "catalog.zero", "--jobs", "3"
        )
        assert (code, err) == (0, "")


def test_a_named_canary_that_stays_busy_ends_the_run(behind, monkeypatch):
    monkeypatch.setattr(rollout, "PAUSE", 0.01)
    with another_session("globex") as other, DatabaseLock(other, 1.0) as lock:
        lock.acquire()
        code, _, err = tenants("migrate", "--all", "--canary", "globex", "--lock-timeout", "0.05")
    assert code == 1
    assert "Stopped: the canary globex failed." in err
    assert PRODUCT not in tables("acme")


@pytest.mark.parametrize("canary", ["0", "1"])
def test_who_was_given_up_is_waited_for_by_nobody(behind, monkeypatch, canary):
    """Its thread may hang for ever."""
    hung, seen = threading.Event(), []
    module = importlib.import_module("catalog.migrations.0001_initial")

    class Hanging(migrations.AlterModelOptions):
        __module__ = "django.db.migrations.operations.models"  # taken for one that can be repeated

        def database_forwards(self, *args):
            seen.append(1)
            if len(seen) == 1:
                hung.wait(20)

    operations = [*module.Migration.operations, Hanging("product", {})]
    try:
        with monkeypatch.context() as patch:
            patch.setattr(module.Migration, "operations", operations)
            patch.setattr("tenancy.fleet.GRACE", 0.2)
            code, _, err = tenants("migrate", "--all", "--timeout", "0.5", "--jobs", "1", "--canary", canary)
    finally:
        hung.set()
        time.sleep(0.3)
    assert code == 1
    assert "timed_out: " in err
    assert ("Stopped: the canary" in err) is (canary == "1")
    assert err.count("skipped") == (canary == "1")


def test_a_canary_that_is_busy_is_replaced_by_another():
    gate = Gate(1)
    with pytest.raises(DatabaseBusy), gate.passage("a"):
        raise DatabaseBusy("a")
    with gate.passage("b"):
        pass
    with gate.passage("c"), gate.passage("a"):
        pass


# What fails, and what is in use


@contextmanager
def clash(alias):
    """A table that is in the way of the first migration."""
    execute(alias, f"CREATE TABLE {PRODUCT} (id integer)")
    try:
        yield
    finally:
        execute(alias, f"DROP TABLE IF EXISTS {PRODUCT}")


def test_what_fails_for_one_stops_no_other_and_the_next_run_mends_it(behind):
    with clash("globex"):
        code, _, err = tenants("migrate", "--all", "--jobs", "2")
    assert code == 1
    assert "failed: globex: ProgrammingError" in err or "failed: globex: OperationalError" in err
    assert "2 of 3 tenants are ok." in err
    assert PRODUCT in tables("acme") & tables("initech")
    code, out, _ = tenants("migrate", "--all")
    assert (code, sorted(out.split())) == (0, sorted(["2", "up", "to", "date", "1", "migrated"]))
    assert PRODUCT in tables("globex")


def test_when_too_many_failed_nobody_else_is_begun(behind):
    with clash("globex"):
        code, _, err = tenants("migrate", "acme", "globex", "initech", "--max-failures", "0", "--wave", "2")
    assert code == 1
    assert "Stopped: 1 failed." in err
    assert "initech: not begun: 1 failed" in err


def test_a_tenant_that_somebody_else_migrates_is_named(behind):
    with another_session("globex") as other, DatabaseLock(other, 1.0) as lock:
        lock.acquire()
        code, _, err = tenants("migrate", "--all", "--lock-timeout", "0.1", "--retries", "0")
    assert code == 1
    assert "busy: globex: DatabaseBusy: The database of 'globex' is busy: somebody else migrates it" in err
    assert PRODUCT not in tables("globex")


if ENGINE == "postgresql":

    def test_what_was_quoted_for_one_is_not_said_to_one_that_reads_it_otherwise(behind, monkeypatch):
        text = r"a\build"  # which some sessions read as a backspace
        field = models.CharField(max_length=20, db_default=text)
        module = importlib.import_module("catalog.migrations.0001_initial")
        more = migrations.AddField("category", "path", field)
        globexs = connections["globex"].settings_dict["NAME"]
        with monkeypatch.context() as patch:
            patch.setattr(module.Migration, "operations", [*module.Migration.operations, more])
            execute("globex", f"ALTER DATABASE {globexs} SET standard_conforming_strings = off")
            try:
                upgrade = Upgrade(Target("catalog", "0001_initial"))
                ways = [upgrade.carry_out(alias).way for alias in ("acme", "initech", "globex")]
                found = [path_of_a_new_category(alias) for alias in ALL]
            finally:
                execute("globex", f"ALTER DATABASE {globexs} RESET standard_conforming_strings")
                for alias in ALL:
                    Upgrade(Target("catalog", "zero")).carry_out(alias)
        assert found == [text] * 3
        assert ways == [Way.OPERATIONS, Way.REPLAY, Way.OPERATIONS]

    def path_of_a_new_category(alias):
        with maintenance(alias) as connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO catalog_category (id, name, description)"
                " VALUES (gen_random_uuid(), 'new', '') RETURNING path"
            )
            return cursor.fetchone()[0]

    def test_a_databases_lock_has_the_key_that_other_releases_know():
        """Two of them may run side by side while one is rolled out."""
        with maintenance("acme") as connection, DatabaseLock(connection, 1.0) as lock:
            lock.acquire()
            with connection.cursor() as cursor:
                # Of this session: tests of other processes hold theirs.
                cursor.execute(
                    "SELECT classid, objid FROM pg_locks"
                    " WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
                )
                assert cursor.fetchall() == [(1953390958, 3149147677)]


def test_migrate_by_hand_waits_for_it_too(behind, monkeypatch):
    monkeypatch.setattr("tenancy.schema.PATIENCE", 0.1)
    held = pytest.raises(CommandError, match="somebody else migrates it")
    with another_session("globex") as other, DatabaseLock(other, 1.0) as lock, held:
        lock.acquire()
        call_command("migrate", database="globex", verbosity=0)
    call_command("migrate", database="globex", verbosity=0)


def test_a_tenant_that_is_busy_is_tried_again_after_the_others(behind, monkeypatch):
    monkeypatch.setattr(rollout, "PAUSE", 0.1)
    chosen = list(get_registry())
    with another_session("acme") as other:
        lock = DatabaseLock(other, 1.0)
        lock.acquire()
        order = []
        work = Rollout(Upgrade(Target(), lock_timeout=0.05), chosen, retries=20)
        for outcome in work.outcomes():
            order.append((outcome.tenant.id, outcome.is_ok))
            if len(order) == 2:
                other.close()
                lock.__exit__(None, None, None)
    assert order == [("globex", True), ("initech", True), ("acme", True)]


@contextmanager
def another_session(alias):
    """A connection like ours, as another process would have it."""
    ours = connections[alias]
    other = type(ours)(ours.settings_dict, alias)
    other.maintenance = True
    with closing(other):
        yield other


@pytest.mark.skipif(ENGINE == "sqlite", reason="SQLite locks the whole file, which the next test holds.")
def test_a_table_in_use_is_not_waited_for_long(behind):
    tenants("migrate", "--all")
    with another_session("globex") as other:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {PRODUCT}")
        code, _, err = tenants(
            "migrate", "--all", "--to", "catalog.zero", "--lock-timeout", "0.1", "--retries", "0"
        )
        other.rollback()
    assert code == 1
    assert "busy: globex: " in err
    assert PRODUCT in tables("globex")
    assert PRODUCT not in tables("acme")


# Whom it concerns


def test_suspended_and_read_only_tenants_are_migrated_like_the_rest(behind):
    with changed_tenant("globex", status=Status.SUSPENDED), changed_tenant("acme", status=Status.READ_ONLY):
        code, _, err = tenants("migrate", "--all")
    assert (code, err) == (0, "")
    assert all(PRODUCT in tables(alias) for alias in ALL)


def test_a_plan_says_what_would_be_done_where_and_changes_nothing(behind):
    call_command("migrate", database="initech", verbosity=0)
    code, out, err = tenants("migrate", "--all", "--plan")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert ["2", "behind", "catalog.0001_initial", "acme,", "globex"] in rows
    assert ["1", "up", "to", "date", "initech"] in rows
    assert PRODUCT not in tables("acme")
    assert not Run.objects.exists()


def test_check_exits_with_1_until_all_are_up_to_date(behind):
    code, _, err = tenants("migrate", "--all", "--check")
    assert (code, err.splitlines()) == (1, ["0 of 3 tenants are up to date."])
    assert PRODUCT not in tables("acme")
    tenants("migrate", "--all")
    assert tenants("migrate", "--all", "--check") == (0, "", "")


def test_one_that_cannot_be_reached_is_in_the_plan():
    with repointed("globex", NAME="/dev/null/no_such_database"):
        code, out, err = tenants("migrate", "--all", "--check", "--plan", "--json")
    assert code == 1
    assert {alias: row["state"] for alias, row in lines(out).items()}["acme"] == "up to date"
    assert "globex" in err or lines(out)["globex"]["state"] == "new"


def test_it_goes_to_a_migration_and_back():
    code, out, _ = tenants("migrate", "--all", "--to", "catalog.zero", "--json")
    assert code == 0
    assert lines(out)["acme"]["steps"] == ["catalog.0001_initial (undone)"]
    assert not any(PRODUCT in tables(alias) for alias in ALL)
    assert tenants("migrate", "acme", "--to", "catalog.0001")[0] == 0
    assert PRODUCT in tables("acme")
    assert PRODUCT not in tables("globex")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--all", "--to", "catalog.0999"], "No migration of 'catalog' begins with '0999'"),
        (["--all", "--to", "users"], "App 'users' does not belong to the tenants"),
        (["--all", "--to", "nothing"], "No installed app has the label 'nothing'"),
        (["acme", "--canary", "globex"], "The canary 'globex' is not among the chosen tenants"),
        ([], "Name tenants"),
    ],
)
def test_wrong_usage_is_told_and_nothing_is_done(arguments, words):
    with pytest.raises(CommandError, match=words) as raised:
        tenants("migrate", *arguments)
    assert raised.value.returncode == 2
    assert not Run.objects.exists()


def test_a_schema_that_is_ahead_of_the_code_is_left_alone():
    execute("acme", "INSERT INTO django_migrations (app, name, applied) VALUES "
                    "('catalog', '0999_of_tomorrow', '2026-01-01 00:00:00')")  # fmt: skip
    try:
        _, out, _ = tenants("migrate", "--all")
        assert "1 ahead of the code" in out
        _, out, _ = tenants("migrate", "acme", "--plan")
        assert "ahead  catalog.0999_of_tomorrow" in out
    finally:
        execute("acme", "DELETE FROM django_migrations WHERE name = '0999_of_tomorrow'")


# One run at a time


def test_a_second_run_is_told_who_holds_the_lock():
    Run.objects.create(
        kind="migrate", tenants=3, user="ada", host="elsewhere", process="4711", heard_at=now()
    )
    with pytest.raises(CommandError, match=r"ada@elsewhere, process 4711, since .* UTC") as raised:
        tenants("migrate", "--all")
    assert raised.value.returncode == 1


def test_a_run_that_gave_no_sign_of_life_is_taken_over():
    silent = Run.objects.create(
        kind="migrate", tenants=3, user="ada", host="elsewhere", process="1", heard_at=now(-31)
    )
    assert tenants("migrate", "--all")[0] == 0
    silent.refresh_from_db()
    assert (silent.outcome, silent.ended_at is None) == ("crashed", False)


def test_a_run_whose_process_died_here_is_taken_over_at_once():
    from tenancy.ledger import journal

    facts = journal._who()
    _, _, namespace = facts["process"].partition(" ")
    gone = f"{2**22 + 1} {namespace}".strip()  # above the highest number that Linux gives
    dead = Run.objects.create(kind="migrate", tenants=3, **facts | {"process": gone}, heard_at=now())
    assert tenants("migrate", "--all")[0] == 0
    dead.refresh_from_db()
    assert dead.outcome == "crashed"


def test_a_run_that_was_taken_over_begins_no_other_tenant(behind, monkeypatch):
    from tenancy.ledger import journal

    monkeypatch.setattr(journal, "BEAT", 0.02)
    lost = threading.Event()
    with journal.Journal("migrate", "", 3, lost.set):
        Run.objects.update(ended_at=now(), outcome="crashed")
        assert lost.wait(5)
    assert Run.objects.get().outcome == "crashed"  # and its end changes nothing of that


def test_after_ctrl_c_the_ledger_says_how_far_it_came(behind, monkeypatch):
    seen = []

    def interrupt(self, *, is_ok):
        seen.append(is_ok)
        raise KeyboardInterrupt

    monkeypatch.setattr("tenancy.progress.FleetProgress.step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tenants("migrate", "--all")
    run = Run.objects.get()
    assert run.outcome == "interrupted"
    assert [entry.result for entry in run.entries.all()] == ["ok"] * run.entries.count()
    monkeypatch.undo()
    assert tenants("migrate", "--all")[0] == 0
    assert all(PRODUCT in tables(alias) for alias in ALL)


def now(seconds=0):
    from datetime import timedelta

    from django.utils import timezone

    return timezone.now() + timedelta(seconds=seconds)


def test_each_tenant_is_in_its_own_context_and_no_connection_is_left(behind):
    tenants("migrate", "--all", "--jobs", "3")
    for tenant in each_tenant():
        assert Category.objects.count() == 0, tenant
    assert Way.REPLAY in {entry.way for entry in Entry.objects.all()}


def test_a_tenant_that_is_behind_is_refused_alone_and_served_from_the_moment_it_is_migrated(behind, ada, bob):
    tenants("migrate", "acme")
    for _ in range(5):  # asked in vain again and again, which makes nobody believe that it is down
        refused = bob.get("/api/products/")
        assert (refused.status_code, refused.json()["code"]) == (503, "tenant_migrating")
        assert "Retry-After" in refused
    assert ada.get("/api/products/").status_code == 200
    tenants("migrate", "globex")
    assert bob.get("/api/products/").status_code == 200
