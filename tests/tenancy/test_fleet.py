"""Many tenants, one after the other: each entered, left and closed."""

from __future__ import annotations

import re
import threading
import time

import pytest
from django.db import connections
from django.test import override_settings

from catalog.models import Category
from tenancy import fleet
from tenancy.context import current_tenant, request_scope, tenant_context
from tenancy.exceptions import (
    Problem,
    RegistryUnavailable,
    TenantLocked,
    TenantMigrating,
    TenantsFileError,
)
from tenancy.fleet import Outcome, Result, each_tenant, run, run_each, suspended_tenants
from tenancy.pool import pool
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, only_tenants, repointed
from tenancy.transactions import tenant_atomic
from users.models import User

ALL = ["acme", "globex", "initech"]

pytestmark = databases(*ALL, transaction=True)


@pytest.fixture
def one_category_each():
    for connection in connections.all(initialized_only=True):
        connection.close()
    for tenant_id in ALL:
        with tenant_context(tenant_id):
            Category.objects.create(name=f"canary-{tenant_id}")
        connections[tenant_id].close()


@pytest.fixture(autouse=True)
def all_closed():
    connections.close_all()
    yield
    connections.close_all()


def open_aliases():
    return {
        connection.alias
        for connection in connections.all(initialized_only=True)
        if connection.connection is not None
    }


def test_each_tenant_is_entered_left_and_closed(one_category_each):
    seen = []
    for tenant in each_tenant():
        assert current_tenant() is tenant
        seen.append((tenant.id, Category.objects.get().name))
        assert open_aliases() == {tenant.id}
    assert seen == [(tenant_id, f"canary-{tenant_id}") for tenant_id in ALL]
    assert current_tenant() is None
    assert open_aliases() == set()


@databases("control", *ALL, transaction=True)
def test_it_holds_the_control_plane_and_one_tenant_at_most(one_category_each):
    most = 0
    for _ in each_tenant():
        assert User.objects.count() == 0
        assert Category.objects.count() == 1
        most = max(most, len(open_aliases()))
    assert most == 2
    assert open_aliases() == {"control"}


def test_a_tenant_whose_data_is_not_asked_for_is_not_opened():
    assert [tenant.id for tenant in each_tenant()] == ALL
    assert open_aliases() == set()


def test_a_break_leaves_and_closes(one_category_each):
    for tenant in each_tenant():
        assert Category.objects.count() == 1
        if tenant.id == "globex":
            break
    assert current_tenant() is None
    assert open_aliases() == set()


def test_an_exception_leaves_and_closes(one_category_each):
    def fail_in_the_first():
        for _ in each_tenant():
            assert Category.objects.count() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_first()
    assert current_tenant() is None
    assert open_aliases() == set()


def test_a_return_leaves_and_closes(one_category_each):
    def find(name):
        for tenant in each_tenant():
            if Category.objects.filter(name=name).exists():
                return tenant.id
        return None

    assert find("canary-globex") == "globex"
    assert current_tenant() is None
    assert open_aliases() == set()
    assert find("nobody's") is None


def test_a_loop_inside_a_context_returns_to_it():
    with tenant_context("globex"):
        for _ in each_tenant():
            pass
        assert current_tenant().id == "globex"


def test_suspended_tenants_are_left_out_and_named():
    with changed_tenant("globex", status=Status.SUSPENDED):
        assert [tenant.id for tenant in each_tenant()] == ["acme", "initech"]
        assert [tenant.id for tenant in each_tenant(include_suspended=True)] == ALL
        assert [tenant.id for tenant in suspended_tenants()] == ["globex"]
    assert suspended_tenants() == []


def test_read_only_tenants_are_visited():
    with changed_tenant("globex", status=Status.READ_ONLY):
        assert [tenant.id for tenant in each_tenant()] == ALL


def test_without_a_valid_file_it_raises():
    error = TenantsFileError("tenants.yaml", [Problem(3, "tenants.acme", "no url")])
    with override_settings(TENANCY_REGISTRY=Registry({}, error=error)):
        with pytest.raises(RegistryUnavailable, match=re.escape("tenants.yaml:3: tenants.acme: no url")):
            list(each_tenant())
        with pytest.raises(RegistryUnavailable):
            run_each(lambda _: None)


def test_no_tenants_is_no_turn():
    with only_tenants():
        assert list(each_tenant()) == []
        assert run_each(lambda tenant: tenant.id) == []


def test_run_each_keeps_what_each_tenant_gave(one_category_each):
    outcomes = run_each(lambda _: (current_tenant(), Category.objects.get().name))
    assert [(outcome.tenant.id, outcome.result, outcome.value) for outcome in outcomes] == [
        (outcome.tenant.id, Result.OK, (outcome.tenant, f"canary-{tenant_id}"))
        for tenant_id, outcome in zip(ALL, outcomes, strict=True)
    ]
    assert all(outcome.seconds > 0 and outcome.error == "" for outcome in outcomes)
    assert open_aliases() == set()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("first line\nsecond line"), "ValueError: first line"),
        (KeyError(), "KeyError"),
        (RuntimeError("  \n"), "RuntimeError"),
    ],
    ids=["several lines", "no text", "blank"],
)
def test_run_each_records_a_failure_and_goes_on(error, text):
    def work(tenant):
        if tenant.id == "globex":
            raise error
        return tenant.id

    outcomes = run_each(work)
    assert [(outcome.tenant.id, outcome.result) for outcome in outcomes] == [
        ("acme", Result.OK),
        ("globex", Result.FAILED),
        ("initech", Result.OK),
    ]
    assert (outcomes[1].value, outcomes[1].error) == (None, text)
    assert outcomes[1].seconds > 0
    assert current_tenant() is None
    assert open_aliases() == set()


def test_run_each_says_that_a_database_is_missing_and_not_where():
    with repointed("globex", NAME="/dev/null/no_such_database"):
        outcomes = run_each(lambda _: Category.objects.count())
    assert [outcome.result for outcome in outcomes] == [Result.OK, Result.UNREACHABLE, Result.OK]
    assert outcomes[1].error.startswith("DatabaseUnavailable: The database of 'globex' is unavailable: it")
    assert "/dev/null" not in outcomes[1].error


def test_run_each_lists_suspended_tenants_as_skipped():
    with changed_tenant("globex", status=Status.SUSPENDED) as globex:
        outcomes = run_each(lambda tenant: tenant.id)
    assert [outcome.tenant.id for outcome in outcomes] == ["acme", "initech", "globex"]
    assert outcomes[-1] == Outcome(globex, Result.SKIPPED, error="suspended")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=["Ctrl-C", "exit"])
def test_run_each_stops_when_it_is_told_to(error):
    def work(tenant):
        assert Category.objects.count() == 0
        raise error

    with pytest.raises(error):
        run_each(work)
    assert current_tenant() is None
    assert open_aliases() == set()


# Some at a time.


def sleep_in_the_database(seconds):
    if connections["acme"].vendor == "postgresql":
        with connections[current_tenant().id].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(%s)", [seconds])
        return
    count = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
    with connections[current_tenant().id].cursor() as cursor:
        cursor.execute(count)


def test_as_many_work_at_a_time_as_there_are_jobs(one_category_each):
    together, most, lock = [], [], threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def work(tenant):
        assert Category.objects.get().name == f"canary-{tenant.id}"
        with lock:
            together.append(tenant.id)
            most.append((len(together), pool.open_connections()))
        if tenant.id != "initech":
            both.wait()
        with lock:
            together.remove(tenant.id)
        return threading.current_thread()

    outcomes = list(run(work, get_registry(), jobs=2))
    assert sorted(outcome.tenant.id for outcome in outcomes) == ALL
    assert {outcome.result for outcome in outcomes} == {Result.OK}
    assert max(most) == (2, 2)
    assert len({outcome.value for outcome in outcomes} - {threading.current_thread()}) == 2
    assert pool.open_connections() == 0
    assert current_tenant() is None


def test_outcomes_come_as_they_are_made():
    """Over ten thousand tenants nothing is kept but what runs."""
    made = []

    def work(tenant):
        made.append(tenant.id)

    for number, _ in enumerate(run(work, get_registry())):
        assert len(made) == number + 1


def test_a_statement_that_takes_too_long_is_broken_off_and_undone(one_category_each):
    def work(tenant):
        with tenant_atomic():
            Category.objects.update(description="written")
            if tenant.id == "globex":
                sleep_in_the_database(30)

    started = time.monotonic()
    outcomes = {outcome.tenant.id: outcome for outcome in run(work, get_registry(), jobs=2, timeout=0.5)}
    assert time.monotonic() - started < 5
    assert outcomes["globex"].result is Result.TIMED_OUT
    assert outcomes["globex"].error == "took longer than 0.5 s, and was broken off"
    assert {outcomes[name].result for name in ("acme", "initech")} == {Result.OK}
    for tenant in each_tenant():
        assert (Category.objects.get().description == "written") is (tenant.id != "globex")
    assert pool.open_connections() == 0


def test_a_call_that_no_database_can_end_is_left_to_itself(monkeypatch):
    monkeypatch.setattr(fleet, "GRACE", 0.1)
    free = threading.Event()

    def work(tenant):
        if tenant.id == "acme":
            free.wait(30)
        return tenant.id

    try:
        outcomes = list(run(work, get_registry(), jobs=1, timeout=0.2))
    finally:
        free.set()
    assert [(outcome.tenant.id, outcome.result) for outcome in outcomes] == [
        ("acme", Result.TIMED_OUT),
        ("globex", Result.OK),
        ("initech", Result.OK),
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_the_first_failure_nothing_is_begun_if_that_is_wanted(jobs):
    begun = []

    def work(tenant):
        begun.append(tenant.id)
        if tenant.id == "acme":
            raise ValueError("no")
        time.sleep(0.2)

    outcomes = {one.tenant.id: one for one in run(work, get_registry(), jobs=jobs, fail_fast=True)}
    assert outcomes["acme"].result is Result.FAILED
    assert outcomes["initech"].result is Result.SKIPPED
    assert outcomes["initech"].error == "not begun: another failed"
    assert "initech" not in begun
    assert len(outcomes) == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_whoever_wants_no_more_waits_for_what_runs_and_nothing_else_is_begun(jobs):
    begun, ended = [], []

    def work(tenant):
        begun.append(tenant.id)
        time.sleep(0.1 if tenant.id == "globex" else 0)
        ended.append(tenant.id)

    outcomes = run(work, get_registry(), jobs=jobs)
    next(outcomes)
    outcomes.close()
    assert sorted(begun) == sorted(ended)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=["Ctrl-C", "exit"])
def test_what_ends_the_process_ends_the_run(jobs, error):
    begun = []

    def work(tenant):
        begun.append(tenant.id)
        if tenant.id == "acme":
            raise error
        time.sleep(0.2)

    with pytest.raises(error):
        list(run(work, get_registry(), jobs=jobs))
    assert "initech" not in begun


def test_a_tenant_behind_the_code_is_named_as_such(monkeypatch):
    def work(tenant):
        if tenant.id == "globex":
            raise TenantMigrating("globex", "is behind the code")

    assert [outcome.result for outcome in run(work, get_registry(), jobs=2)].count(Result.BEHIND) == 1


def test_an_error_that_cannot_say_what_it_is_stops_no_other():
    class Mute(Exception):
        def __str__(self):
            raise ValueError("no words")

    def work(tenant):
        raise Mute

    for jobs in (1, 2):
        outcomes = list(run(work, get_registry(), jobs=jobs))
        assert [outcome.error for outcome in outcomes] == ["Mute"] * 3


def test_in_a_request_no_other_tenant_is_entered():
    with request_scope(), pytest.raises(TenantLocked):
        list(run(lambda tenant: tenant.id, get_registry(), jobs=2))


def test_more_jobs_than_the_pool_has_room_for_harm_nobody(one_category_each):
    with override_settings(TENANCY_POOL_SIZE=1):
        outcomes = list(run(lambda _: Category.objects.count(), get_registry(), jobs=3))
    assert [outcome.value for outcome in outcomes] == [1, 1, 1]


def test_fail_fast_ends_after_a_call_that_was_given_up(monkeypatch):
    monkeypatch.setattr(fleet, "GRACE", 0.1)
    free = threading.Event()
    try:
        outcomes = list(run(lambda _: free.wait(30), get_registry(), jobs=1, timeout=0.1, fail_fast=True))
    finally:
        free.set()
    assert [outcome.result for outcome in outcomes] == [Result.TIMED_OUT, Result.SKIPPED, Result.SKIPPED]
    assert "could not be broken off; it may still run" in outcomes[0].error


def test_a_slow_consumer_loses_no_outcome(monkeypatch):
    monkeypatch.setattr(fleet, "GRACE", 0.05)
    free = threading.Event()

    def work(tenant):
        if tenant.id != "initech":
            free.wait(0.6)
        return tenant.id

    outcomes = []
    for outcome in run(work, get_registry(), jobs=2, timeout=0.1):
        time.sleep(0.3)
        outcomes.append(outcome.tenant.id)
    assert sorted(outcomes) == ALL


def test_a_statement_in_a_block_of_its_own_is_broken_off_too(one_category_each):
    def work(tenant):
        with tenant_context(tenant), tenant_atomic():
            Category.objects.update(description="written")
            sleep_in_the_database(30)

    started = time.monotonic()
    outcomes = list(run(work, [get_registry().get("acme")], jobs=1, timeout=0.3))
    assert time.monotonic() - started < 5
    assert "and was broken off" in outcomes[0].error
    with tenant_context("acme"):
        assert Category.objects.get().description == ""


def test_a_thread_that_cannot_be_started_ends_the_run_and_nothing_hangs(monkeypatch):
    real, begun = threading.Thread.start, []

    def start(self):
        if self.name == "fleet" and begun:
            raise RuntimeError("can't start new thread")
        begun.append(self)
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError):
        list(run(lambda _: time.sleep(0.05), get_registry(), jobs=2))
    assert not begun[0].is_alive()


def test_a_connection_that_was_open_before_stays_open(one_category_each):
    with tenant_context("acme"):
        rows = Category.objects.iterator(chunk_size=1)
        next(rows)
        assert [outcome.value for outcome in run(lambda _: Category.objects.count(), get_registry())] == [
            1,
            1,
            1,
        ]
        assert list(rows) == []


def test_a_turn_that_begins_while_nobody_works_has_its_time_too(monkeypatch, one_category_each):
    real = fleet._Crew._next

    def late(self, me):
        time.sleep(0.2)
        return real(self, me)

    def work(tenant):
        if tenant.id == "globex":
            sleep_in_the_database(30)

    monkeypatch.setattr(fleet._Crew, "_next", late)
    started = time.monotonic()
    outcomes = [outcome.result for outcome in run(work, get_registry(), jobs=1, timeout=0.3)]
    assert time.monotonic() - started < 5
    assert outcomes == [Result.OK, Result.TIMED_OUT, Result.OK]
