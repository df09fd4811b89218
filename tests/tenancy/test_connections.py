"""Whose a connection is, when it goes to the next, and when it does not."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import hashlib
import inspect
import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections, transaction
from django.db.utils import ConnectionHandler
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.utils.connection import BaseConnectionHandler, ConnectionDoesNotExist
from psycopg2 import sql

from catalog.models import Category
from tenancy import departures
from tenancy.backends import cursors
from tenancy.backends.faults import Fault, classify
from tenancy.backends.postgresql import base
from tenancy.connections import TenancyConnections, close, maintenance
from tenancy.context import Frame, carry, enter_request, request_scope, tenant_context
from tenancy.exceptions import (
    DatabaseBusy,
    NoTenant,
    OpenedToWrite,
    ScopeEnded,
    TenantNotServed,
    TransactionLeftOpen,
    WrongTenant,
)
from tenancy.middleware import TenantScopeMiddleware
from tenancy.pool import discard_all, pool
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Status, Tenant
from tenancy.testing import changed_tenant, databases, twins
from tenancy.transactions import tenant_atomic, tenant_on_commit
from tenancy.watchdog import watchdog

ENGINE = connections["control"].vendor


def until_closed(alias):
    """The watchdog does what finalizers leave, too."""
    deadline = time.monotonic() + 5
    while pool.open_connections(alias):
        assert time.monotonic() < deadline, "it is not closed"
        time.sleep(0.01)


def is_open(alias):
    return connections[alias].connection is not None


@databases("acme", transaction=True)
def test_close_closes():
    connections["acme"].ensure_connection()
    close("acme")
    assert not is_open("acme")
    close("acme")
    assert not is_open("acme")


@databases("acme", transaction=True)
def test_close_leaves_a_connection_that_a_transaction_still_owns():
    with transaction.atomic(using="acme"):
        close("acme")
        assert is_open("acme")


@databases("acme", transaction=True)
def test_maintenance_has_a_connection_of_its_own_and_closes_it():
    connections["acme"].ensure_connection()
    everyday = connections["acme"].connection
    with maintenance("acme") as connection:
        assert connection is connections["acme"]
        assert connection.maintenance
        connection.ensure_connection()
        assert connection.connection is not everyday
    assert not connection.maintenance
    assert not is_open("acme")


@databases("acme", transaction=True)
def test_maintenance_takes_none_that_everyday_work_left():
    def work():
        with tenant_context("acme"):
            everyday = raw_of("acme")
        assert pool.idle_connections("acme") == 1
        with maintenance("acme") as connection:
            connection.ensure_connection()
            assert connection.connection is not everyday
            with connection.cursor() as cursor:
                # Each engine's sign of an everyday connection: nothing is attached, a statement has its time.
                cursor.execute("VACUUM" if ENGINE == "sqlite" else "SHOW statement_timeout")
                assert ENGINE == "sqlite" or cursor.fetchone() == ("0",)

    in_new_thread(work)


@databases("acme", transaction=True)
def test_maintenance_goes_on_where_it_began():
    """Also when the tenant's entry is another meanwhile: half of a migration would go elsewhere."""
    with maintenance("acme") as connection:
        connection.ensure_connection()
        raw = connection.connection
        with changed_tenant("acme", database=dict(connection.settings_dict)):
            assert connections["acme"] is connection
            assert connection.connection is raw
    assert not is_open("acme")


@databases("acme", transaction=True)
def test_maintenance_ends_with_an_exception_too():
    with pytest.raises(DatabaseError), maintenance("acme") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM django_migrations")
    assert not connections["acme"].maintenance
    assert not is_open("acme")


@pytest.fixture(autouse=True)
def nothing_open_yet():
    """What a test's own set-up opened in this thread would be counted too."""
    for connection in connections.all(initialized_only=True):
        close(connection.alias)


def in_new_thread(function, *args):
    """As a server's thread, in which nothing is open and no test has a transaction."""

    def run():
        try:
            return function(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(run).result(30)


def raw_of(alias):
    connections[alias].ensure_connection()
    return connections[alias].connection


def test_the_object_is_django_s_own_and_yields_every_alias():
    from django import db

    assert db.connections is connections
    assert isinstance(connections, ConnectionHandler)
    assert isinstance(connections, TenancyConnections)
    assert set(connections) == {"default", "control", "acme", "globex", "initech"}


#: Of Django 5.2.19. Another hash: read what changed, and see whether tenancy/connections.py still says the
#: truth.
PRIVATE_API = {
    BaseConnectionHandler: "08140750326d3169",
    ConnectionHandler: "a65c7fcf9a80c8d5",
}


@pytest.mark.parametrize("owner", PRIVATE_API, ids=lambda owner: owner.__name__)
def test_the_private_api_is_as_it_was_read(owner):
    found = hashlib.sha256(inspect.getsource(owner).encode()).hexdigest()[:16]
    assert found == PRIVATE_API[owner]


def test_nothing_per_request_looks_at_aliases_that_are_not_open():
    def look():
        assert connections.all(initialized_only=True) == []
        with tenant_context("acme"):
            assert connections.all(initialized_only=True) == []
            connections["acme"]
            assert [one.alias for one in connections.all(initialized_only=True)] == ["acme"]

    in_new_thread(look)


@databases("acme", "globex", transaction=True)
class TestABlock:
    def test_gives_back_what_it_opened_and_the_next_of_the_same_tenant_gets_it(self):
        def work():
            raws = []
            for alias in ("acme", "globex", "acme", "globex"):
                with tenant_context(alias):
                    raws.append(raw_of(alias))
            return raws

        acme, globex, acme_again, globex_again = in_new_thread(work)
        assert acme is acme_again
        assert globex is globex_again
        assert acme is not globex

    def test_hands_it_to_another_thread_too_which_finds_its_own_tenants_rows(self):
        twins(Category, ["acme", "globex"], name=lambda tenant_id: f"of {tenant_id}")

        def work(alias):
            with tenant_context(alias):
                return raw_of(alias), Category.objects.get().name

        first, name = in_new_thread(work, "acme")
        second, name_again = in_new_thread(work, "acme")
        third, other_name = in_new_thread(work, "globex")
        assert first is second
        assert third is not first
        assert (name, name_again, other_name) == ("of acme", "of acme", "of globex")

    def test_uses_on_what_an_outer_block_has_open(self):
        def work():
            with tenant_context("acme"), tenant_atomic():
                Category.objects.create(name="seen")
                with tenant_context("globex"):
                    raw_of("globex")
                    with tenant_context("acme"):
                        assert Category.objects.filter(name="seen").exists()
                    assert pool.idle_connections() == 0
                assert pool.idle_connections("globex") == 1

        in_new_thread(work)

    def test_uses_on_what_its_thread_has_open_and_leaves_it_open(self):
        def work():
            raw = raw_of("acme")
            with tenant_context("acme"):
                assert raw_of("acme") is raw
            assert connections["acme"].connection is raw
            assert pool.idle_connections() == 0

        in_new_thread(work)

    def test_leaves_a_transaction_that_began_outside_alone(self):
        def work():
            with transaction.atomic(using="acme"):
                with tenant_context("acme"):
                    Category.objects.create(name="kept")
                assert connections["acme"].in_atomic_block
            with tenant_context("acme"):
                assert Category.objects.count() == 1

        in_new_thread(work)

    def test_is_loud_about_a_transaction_that_began_inside_and_did_not_end(self):
        def work():
            with pytest.raises(TransactionLeftOpen, match="acme"), tenant_context("acme"):
                transaction.atomic(using="acme").__enter__()
            with tenant_context("acme"):
                assert not Category.objects.exists()
            assert pool.idle_connections("acme") == 1

        in_new_thread(work)

    def test_gives_back_after_an_exception_too(self):
        def work():
            with contextlib.suppress(ZeroDivisionError), tenant_context("acme"), tenant_atomic():
                Category.objects.create(name="undone")
                1 / 0  # noqa: B018
            assert pool.idle_connections("acme") == 1
            with tenant_context("acme"):
                assert not Category.objects.exists()

        in_new_thread(work)


def leave_a_cursor(kept):
    cursor = connections["acme"].cursor()
    cursor.execute("SELECT 1 UNION SELECT 2")
    cursor.fetchone()
    kept.append(cursor)


def leave_a_fetch(kept):
    cursor = connections["acme"].cursor()
    cursor.execute("SELECT 1 UNION SELECT 2")
    kept.append(cursor.fetchone)


def leave_an_iterator(kept):
    twins(Category, ["acme"], name="one")
    rows = Category.objects.iterator(chunk_size=1)
    next(rows)
    kept.append(rows)


def leave_autocommit_off(kept):
    connections["acme"].set_autocommit(False)


def leave_a_transaction_of_the_drivers(kept):
    with connections["acme"].cursor() as cursor:
        cursor.execute("BEGIN")


def leave_a_wrapper(kept):
    context = connections["acme"].execute_wrapper(lambda execute, *args: execute(*args))
    context.__enter__()
    kept.append(context)


def leave_it_shared(kept):
    connections["acme"].inc_thread_sharing()


def leave_debugging_on(kept):
    connections["acme"].force_debug_cursor = True


def leave_something_in_the_session(kept):
    with connections["acme"].cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE catalog_category (id int)")


def leave_a_setting(kept):
    with connections["acme"].cursor() as cursor:
        cursor.execute("PRAGMA foreign_keys = OFF" if ENGINE == "sqlite" else "SET search_path = other")


def leave_a_setting_in_small_letters(kept):
    with connections["acme"].cursor() as cursor:
        cursor.execute(
            "\n  pragma foreign_keys = off" if ENGINE == "sqlite" else "\n  set search_path = other"
        )


def leave_a_setting_of_many(kept):
    with connections["acme"].cursor() as cursor:
        cursor.executemany("ANALYZE" if ENGINE == "sqlite" else "SET search_path = other", [()])


def leave_what_the_driver_did(kept):
    with connections["acme"].cursor() as cursor:
        if ENGINE == "sqlite":
            cursor.executescript("SELECT 1")
        else:
            cursor.copy_expert("COPY (SELECT 1) TO STDOUT", io.StringIO())


def close_it_behind_its_back(kept):
    connections["acme"].connection.close()


LEFT_OVER = [
    leave_a_cursor,
    leave_a_fetch,
    leave_an_iterator,
    leave_autocommit_off,
    leave_a_transaction_of_the_drivers,
    leave_a_wrapper,
    leave_it_shared,
    leave_debugging_on,
    leave_something_in_the_session,
    leave_a_setting,
    leave_a_setting_in_small_letters,
    leave_a_setting_of_many,
    leave_what_the_driver_did,
    close_it_behind_its_back,
]


@databases("acme", transaction=True)
@pytest.mark.parametrize("leave", LEFT_OVER, ids=lambda leave: leave.__name__)
def test_a_connection_on_which_something_is_left_over_is_closed(leave):
    def work():
        kept = []
        with tenant_context("acme"):
            raw_of("acme")
            leave(kept)
        assert pool.idle_connections("acme") == 0
        assert pool.open_connections("acme") == 0
        with tenant_context("acme"):
            assert connections["acme"].get_autocommit()
            Category.objects.count()

    in_new_thread(work)


if ENGINE == "postgresql":

    @databases("acme", transaction=True)
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT set_config('search_path', 'other', false)",
            "SELECT SET_CONFIG('search_path', 'other', false)",
            "SELECT pg_try_advisory_lock(1)",
            "UPDATE pg_settings SET setting = 'other' WHERE name = 'search_path'",
            "SELECT 1 AS one\nINTO\nTEMP catalog_category",
            "EXPLAIN ANALYZE CREATE TEMP TABLE catalog_category AS SELECT 1",
            "/* SELECT */ SET search_path = other",
            "DO $$ BEGIN SET search_path = other; END $$",
            "SELECT 1; SET search_path = other",
            "LISTEN others",
            "PREPARE other AS SELECT 1",
            "DECLARE other CURSOR WITH HOLD FOR SELECT 1",
            sql.SQL("SET ROLE postgres"),
        ],
        ids=str,
    )
    def test_a_session_that_may_be_another_now_is_closed(sql):
        def work():
            with tenant_context("acme"), connections["acme"].cursor() as cursor:
                cursor.execute(sql)
            assert pool.open_connections("acme") == 0

        in_new_thread(work)


@databases("acme", transaction=True)
@pytest.mark.parametrize(
    "sql", ["SELECT 1", "\n select 1", "(SELECT 1)" if ENGINE == "postgresql" else "VALUES (1)"]
)
def test_and_otherwise_it_is_kept(sql):
    """The negative control."""

    def work():
        with tenant_context("acme"):
            twins(Category, ["acme"], name="one")
            with tenant_atomic(), tenant_atomic():
                Category.objects.update(description="x")
            list(Category.objects.order_by().union(Category.objects.order_by()))
            Category.objects.all().delete()
            with connections["acme"].cursor() as cursor:
                cursor.execute(sql)
                list(cursor)
        assert pool.idle_connections("acme") == 1

    in_new_thread(work)


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_long_statement_is_looked_at_and_not_remembered(length):
    before = cursors._remembered.cache_info().currsize
    assert not cursors._may_change_session(f"INSERT INTO x VALUES ({'%s, ' * length})")
    assert cursors._may_change_session(f"SET x = '{'y' * length}'")
    assert cursors._remembered.cache_info().currsize - before <= (2 if length == 10 else 0)


@databases("acme", "control", transaction=True)
@pytest.mark.parametrize("alias", ["acme", "control"])
def test_a_thread_that_is_over_leaves_its_room_though_it_closed_nothing(alias, monkeypatch):
    """Room for a hundred threads, one after the other, is the room of one; no collector has to run."""
    # Who comes next closes what was left. The watchdog would too, and be seen in the middle of it.
    monkeypatch.setattr(watchdog, "look", lambda: None)

    def work():
        connections[alias].ensure_connection()
        seen.append(pool.open_connections(alias))

    before, seen = pool.open_connections(alias), []
    gc.disable()
    try:
        for _ in range(20):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    finally:
        gc.enable()
    assert seen == [before + 1] * 20
    assert pool.open_connections(alias) == before


@databases("acme", transaction=True)
def test_a_connection_that_another_thread_shares_is_its_owners_to_close():
    own = connections["acme"]
    own.ensure_connection()
    own.inc_thread_sharing()
    try:

        def borrow():
            connections["acme"] = own

        thread = threading.Thread(target=borrow)
        thread.start()
        thread.join()
        pool.do_chores()
        assert own.connection is not None
    finally:
        own.dec_thread_sharing()


@databases("acme", transaction=True)
def test_two_threads_that_find_it_is_time_close_it_once(monkeypatch):
    connections["acme"].close()
    connection = connections["acme"]
    connection.ensure_connection()
    hang_up, calls = type(connection)._hang_up, []

    def slowly(self, raw):
        calls.append(threading.get_ident())
        time.sleep(0.1)
        return hang_up(self, raw)

    monkeypatch.setattr(type(connection), "_hang_up", slowly)
    threads = [threading.Thread(target=connection.discard) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert connection.connection is None
    assert connection.slot is None


@pytest.fixture
def endless(monkeypatch):
    """Sessions that are told to end, and do not: called, it lets them. What is seen of them is noted."""
    if ENGINE == "sqlite":
        pytest.skip("SQLite has no server, and no sessions.")
    looks, ended = [], []

    def look(line, milliseconds=0):
        looks.append((line, milliseconds))
        return bool(ended)

    for module in (base, departures):
        monkeypatch.setattr(module, "has_hung_up", look)
    yield ended, looks
    ended.append(True)
    pool.look_at_departures()
    pool.reset_breakers()


@databases("acme", "globex", transaction=True)
def test_the_room_of_a_session_is_taken_until_the_server_has_ended_it(endless, settings):
    """What a server counts is what counts: it may be slower to end a session than others want a new one."""
    ended, looks = endless
    connections.close_all()
    pool.discard_idle()
    settings.TENANCY_POOL_SIZE = 1
    connections["acme"].ensure_connection()
    connections["acme"].close()
    assert looks[0][1] == 100
    assert pool.open_connections("acme") == 1
    with pytest.raises(DatabaseBusy):
        connections["globex"].ensure_connection()
    threading.Timer(0.1, ended.append, (True,)).start()
    connections["globex"].ensure_connection()
    assert (pool.open_connections("acme"), pool.open_connections("globex")) == (0, 1)
    connections["globex"].close()


@databases("acme", "globex", transaction=True)
def test_who_closes_an_idle_connection_for_its_room_waits_for_its_session_to_end(endless, settings):
    ended, _ = endless
    connections.close_all()
    pool.discard_idle()
    settings.TENANCY_POOL_SIZE = 1

    def work():
        with tenant_context("acme"):
            raw_of("acme")
        assert pool.idle_connections("acme") == 1
        with pytest.raises(DatabaseBusy):
            connections["globex"].ensure_connection()
        assert (pool.open_connections("acme"), pool.open_connections("globex")) == (1, 0)
        ended.append(True)
        connections["globex"].ensure_connection()
        assert (pool.open_connections("acme"), pool.open_connections("globex")) == (0, 1)

    in_new_thread(work)


@databases("acme", transaction=True)
def test_a_server_that_ends_no_session_is_asked_and_one_that_is_gone_keeps_no_room(endless, monkeypatch):
    monkeypatch.setattr(pool, "wake", lambda: None)  # nobody asks it now
    server = connections["acme"].server()
    connections["acme"].ensure_connection()
    connections["acme"].close()
    pool.look_at_departures()
    assert server not in pool.to_be_asked()
    monkeypatch.setattr(departures, "SLOW", -1)
    pool.look_at_departures()
    assert server in pool.to_be_asked()
    assert pool.open_connections("acme") == 1
    discard_all(pool.silence(server))
    assert pool.open_connections("acme") == 0
    pool.heard(server)


@databases("acme", transaction=True)
def test_a_session_that_never_ends_is_not_counted_for_ever(endless, monkeypatch):
    _, looks = endless
    connections["acme"].ensure_connection()
    connections["acme"].close()
    assert pool.open_connections("acme") == 1
    line = looks[-1][0]
    os.fstat(line)
    monkeypatch.setattr(departures, "MOST", -1)
    assert pool.open_connections("acme") == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(line)


@databases("acme", transaction=True)
def test_a_session_that_did_not_pass_keeps_its_room_until_it_is_over(endless, monkeypatch):
    """It was let in, and then found not to be what was wanted."""
    ended, _ = endless
    connections["acme"].close()
    ended.append(True)
    pool.look_at_departures()
    ended.clear()

    def fail(self):
        raise DatabaseBusy(self.alias)

    monkeypatch.setattr(type(connections["acme"]), "init_connection_state", fail)
    with pytest.raises(DatabaseBusy):
        connections["acme"].ensure_connection()
    assert pool.open_connections("acme") == 1
    assert connections["acme"].line is None
    ended.append(True)
    assert pool.open_connections("acme") == 0


@databases("acme", "globex", transaction=True)
def test_of_what_others_keep_one_is_closed_in_vain_and_not_all(endless, settings):
    """On a server that is slow to end sessions nothing that is closed makes room in time."""
    connections.close_all()
    pool.discard_idle()
    settings.TENANCY_POOL_SIZE = 4

    def keep():
        with tenant_context("acme"):
            raw_of("acme")
            together.wait(10)

    together = threading.Barrier(4)
    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def work():
        assert pool.idle_connections("acme") == 4
        began = time.monotonic()
        with pytest.raises(DatabaseBusy):
            connections["globex"].ensure_connection()
        assert time.monotonic() - began < 1
        assert pool.idle_connections("acme") == 3

    in_new_thread(work)


@databases("acme", transaction=True)
def test_whoever_works_on_a_row_is_not_taken_to_wait_for_the_driver():
    with tenant_context("acme"), connections["acme"].cursor() as cursor:
        cursor.execute("SELECT 1 UNION SELECT 2")
        for _ in cursor:
            assert connections["acme"].call_started == 0


@databases("acme", transaction=True)
def test_a_cursor_that_is_kept_over_the_end_of_its_block_is_dead():
    def work():
        kept = []
        with tenant_context("acme"):
            leave_a_cursor(kept)
        with tenant_context("acme"), pytest.raises(Exception, match="closed"):
            kept[0].fetchone()

    in_new_thread(work)


@databases("acme", "globex", transaction=True)
def test_a_connection_that_was_given_back_serves_nobody_who_kept_it():
    def work():
        with tenant_context("acme"):
            connection = connections["acme"]
            connection.ensure_connection()
        with tenant_context("globex"), pytest.raises(WrongTenant):
            connection.cursor()
        with tenant_context("acme"), pytest.raises(DatabaseError, match="thread"):
            connection.cursor()  # idle in the pool: nobody's

    in_new_thread(work)


@databases("acme", transaction=True)
def test_callbacks_of_a_commit_run_before_it_is_given_back():
    def work():
        seen = []
        with tenant_context("acme"):
            with tenant_atomic():
                tenant_on_commit(lambda: seen.append(Category.objects.count()))
            assert seen == [0]
        assert pool.idle_connections("acme") == 1

    in_new_thread(work)


@databases("acme", transaction=True)
def test_a_connection_to_where_the_tenant_was_before_is_not_kept():
    def work():
        with tenant_context("acme"):
            raw_of("acme")
            moved = Tenant("acme", "Acme", database=dict(connections.settings["acme"]))
            change = override_settings(TENANCY_REGISTRY=Registry({"acme": moved}))
            change.enable()
        change.disable()
        assert pool.idle_connections("acme") == 0

    in_new_thread(work)


@databases("acme", "globex", transaction=True)
def test_what_a_thread_has_open_is_left_when_its_tenant_moved_or_went():
    def work():
        acme, globex = raw_of("acme"), raw_of("globex")
        moved = Tenant("acme", "Acme", database=dict(connections.settings["acme"]))
        later = Registry({"acme": moved, "globex": get_registry().get("globex")})
        with override_settings(TENANCY_REGISTRY=later):
            assert raw_of("acme") is not acme
            assert connections["acme"].settings_dict is moved.database
            assert raw_of("globex") is globex
        with override_settings(TENANCY_REGISTRY=Registry({})), pytest.raises(ConnectionDoesNotExist):
            connections["acme"]

    in_new_thread(work)


@databases("acme", transaction=True)
def test_a_block_in_an_older_block_is_served_by_the_entry_as_it_is_now():
    def work():
        with tenant_context("acme"):
            before = raw_of("acme")
            with changed_tenant("acme", status=Status.READ_ONLY), tenant_context("acme"):
                assert raw_of("acme") is not before
                with pytest.raises(DatabaseError):
                    Category.objects.create(name="written")
            assert raw_of("acme") is before

    in_new_thread(work)


@databases("acme", transaction=True)
def test_a_transaction_goes_on_where_it_began():
    def work():
        with transaction.atomic(using="acme"):
            before = connections["acme"]
            with override_settings(TENANCY_REGISTRY=Registry({})):
                assert connections["acme"] is before

    in_new_thread(work)


@databases("acme", "globex", "initech", transaction=True)
def test_a_loop_over_aliases_outside_of_all_blocks_needs_no_more_than_the_budget():
    def work():
        with override_settings(TENANCY_POOL_SIZE=1):
            for _ in range(2):
                for alias in ("acme", "globex", "initech"):
                    connections[alias].ensure_connection()
                    assert pool.open_connections() == 1

    in_new_thread(work)


@databases("acme", "globex", transaction=True)
def test_in_a_transaction_nothing_is_spared():
    def work():
        with (
            override_settings(TENANCY_POOL_SIZE=1, TENANCY_POOL_WAIT=0.01),
            transaction.atomic(using="acme"),
            pytest.raises(DatabaseBusy),
        ):
            connections["globex"].ensure_connection()

    in_new_thread(work)


@databases("acme", "control", transaction=True)
class TestAnAsyncRequest:
    """The scope ends in the event loop; what it opened was opened by a thread."""

    def serve(self, view, **during):
        """One request, which is cancelled when ``during`` says so."""

        async def serve():
            request = TenantScopeMiddleware(view)(RequestFactory().get("/"))
            task = asyncio.create_task(request)
            if begun := during.get("begun"):
                await asyncio.to_thread(begun.wait, 10)
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if then := during.get("then"):
                await then()

        asyncio.run(serve())

    def request(self, work):
        return TenantScopeMiddleware(self.view(work))(RequestFactory().get("/"))

    def view(self, work):
        async def view(request):
            enter_request(get_registry().get("acme"))
            # A thread for each request, as under ASGI.
            await sync_to_async(work, thread_sensitive=False)()
            return HttpResponse("ok")

        return view

    def test_gives_back_what_its_thread_opened(self):
        raws = []
        for _ in range(2):
            self.serve(self.view(lambda: raws.append(raw_of("acme"))))
        assert raws[0] is raws[1]
        assert pool.open_connections("acme") == 1

    def test_cancelled_in_a_query_hands_nothing_on(self):
        """The scope ends at once, while the thread is still inside. Whoever comes next, even of the same
        tenant, must not be given its connection; which is closed when the query is done."""
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
        raws, errors = [], []

        def work():
            raws.append(raw_of("acme"))
            try:
                with connections["acme"].cursor() as cursor:
                    cursor.execute("SELECT 1")
                    begun.set()
                    assert go_on.wait(10)
                try:
                    Category.objects.count()
                except NoTenant as exc:
                    errors.append(exc)
            finally:
                ended.set()

        async def then():
            try:
                assert pool.idle_connections("acme") == 0
                assert pool.open_connections("acme") == 1
                await self.request(lambda: raws.append(raw_of("acme")))
            finally:
                go_on.set()
            assert await asyncio.to_thread(ended.wait, 10)

        self.serve(self.view(work), begun=begun, then=then)
        assert raws[0] is not raws[1]
        assert len(errors) == 1
        assert pool.open_connections("acme") == 1  # the cancelled one's is closed

    def test_with_something_left_over_it_is_closed_though_its_scope_ends_in_an_event_loop(self):
        def work():
            connections["acme"].ensure_connection()
            connections["acme"].execute_wrappers.append(lambda execute, *args: execute(*args))

        self.serve(self.view(work))
        until_closed("acme")

    def test_a_cursor_that_is_collected_in_an_event_loop_lets_its_connection_go(self):
        kept = []

        async def then():
            assert pool.open_connections("acme") == 1
            kept.clear()
            gc.collect()
            await asyncio.to_thread(until_closed, "acme")

        self.serve(self.view(lambda: leave_a_cursor(kept)), then=then)

    def test_a_cursor_that_is_collected_where_the_pool_is_locked_locks_nothing(self):
        kept = []

        async def then():
            with pool._lock:  # the collector runs wherever something is made
                kept.clear()
                gc.collect()
            await asyncio.to_thread(until_closed, "acme")

        self.serve(self.view(lambda: leave_a_cursor(kept)), then=then)

    @pytest.mark.parametrize("alias", ["acme", "control"])
    def test_cancelled_while_it_connects_leaves_nothing_open(self, monkeypatch, alias):
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
        errors = []
        wrapper = type(connections[alias])
        connect = wrapper.get_new_connection

        def slowly(self, params):
            if not begun.is_set():
                begun.set()
                assert go_on.wait(10)
            return connect(self, params)

        monkeypatch.setattr(wrapper, "get_new_connection", slowly)
        connections[alias].close()

        def work():
            try:
                connections[alias].cursor()
            except (ScopeEnded, NoTenant) as exc:
                errors.append(exc)
            finally:
                ended.set()

        async def then():
            assert pool.open_connections(alias) == 1
            go_on.set()
            assert await asyncio.to_thread(ended.wait, 10)

        gc.disable()
        try:
            self.serve(self.view(work), begun=begun, then=then)
        finally:
            gc.enable()
        assert [type(error) for error in errors] == [ScopeEnded]
        assert pool.open_connections(alias) == 0

    def test_cancelled_in_a_transaction_undoes_it_and_hands_nothing_on(self):
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

        def work():
            try:
                with tenant_atomic():
                    Category.objects.create(name="undone")
                    begun.set()
                    assert go_on.wait(10)
            finally:
                ended.set()

        async def then():
            assert pool.idle_connections("acme") == 0
            go_on.set()
            assert await asyncio.to_thread(ended.wait, 10)

        self.serve(self.view(work), begun=begun, then=then)
        assert pool.open_connections("acme") == 0
        with tenant_context("acme"):
            assert not Category.objects.exists()

    def test_cancelled_between_two_queries_its_connection_is_others_and_dead_to_it(self):
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
        raws, errors = [], []

        def work():
            connection = connections["acme"]
            raws.append(raw_of("acme"))
            begun.set()
            assert go_on.wait(10)
            for use in (connection.cursor, Category.objects.count, connection.ensure_connection):
                try:
                    use()
                except (NoTenant, ScopeEnded) as exc:
                    errors.append(exc)
            ended.set()

        async def then():
            assert pool.idle_connections("acme") == 1
            await self.request(lambda: raws.append(raw_of("acme")))
            go_on.set()
            assert await asyncio.to_thread(ended.wait, 10)

        self.serve(self.view(work), begun=begun, then=then)
        assert raws[0] is raws[1]
        assert len(errors) == 3


@databases("acme", "control", transaction=True)
def test_two_threads_of_one_scope_never_share_a_connection():
    def work():
        with request_scope():
            enter_request(get_registry().get("acme"))
            raws = [raw_of("acme")]
            both = threading.Barrier(2)

            def one():
                raws.append(raw_of("acme"))
                both.wait(10)

            threads = [threading.Thread(target=contextvars.copy_context().run, args=(one,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert len({id(raw) for raw in raws}) == 3
        assert pool.idle_connections("acme") == 3

    in_new_thread(work)


@databases("acme")
def test_in_a_test_s_transaction_a_request_sees_what_the_test_did():
    with tenant_context("acme"):
        Category.objects.create(name="not committed")
    with request_scope():
        enter_request(get_registry().get("acme"))
        assert Category.objects.count() == 1
    with tenant_context("acme"):
        assert carry(Category.objects.count)() == 1
    assert pool.idle_connections("acme") == 0


if ENGINE == "postgresql":

    class Sampler(threading.Thread):
        """Counts the sessions of the tenants' databases on the server, all the time, from a session of its
        own."""

        def __init__(self):
            super().__init__()
            self.most = 0
            self.samples = 0
            self.names = [connections.settings[alias]["NAME"] for alias in ("acme", "globex", "initech")]
            params = connections["control"].get_connection_params()
            params.pop("cursor_factory")
            self.session = psycopg2.connect(**params)
            self.session.autocommit = True
            self.over = threading.Event()

        def run(self):
            with self.session.cursor() as cursor:
                while not self.over.is_set():
                    cursor.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                        "AND datname = ANY(%s)",
                        [self.names],
                    )
                    self.most = max(self.most, cursor.fetchone()[0])
                    self.samples += 1

        def __enter__(self):
            self.start()
            return self

        def __exit__(self, *exc_info):
            self.over.set()
            self.join(10)
            self.session.close()

    @databases("control", "acme", "globex", "initech", transaction=True)
    @pytest.mark.parametrize("budget", [1, 2])
    def test_the_server_never_has_more_sessions_than_the_budget(budget):
        for alias in ("acme", "globex", "initech"):
            connections[alias].close()
        served, busy = [], []

        def work(number):
            for step in range(40):
                alias = ("acme", "globex", "initech")[(number + step) % 3]
                try:
                    with tenant_context(alias):
                        served.append(Category.objects.count())
                except DatabaseBusy:
                    busy.append(alias)

        with override_settings(TENANCY_POOL_SIZE=budget, TENANCY_POOL_WAIT=2.0), Sampler() as sampler:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        assert sampler.samples > 20
        assert len(served) + len(busy) == 240
        assert len(served) > 100
        assert sampler.most == budget

    @databases("acme", "globex", transaction=True)
    def test_sessions_that_the_server_ended_are_replaced_without_anybody_noticing():
        def open_and_tell():
            with tenant_context("acme"), connections["acme"].cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                return cursor.fetchone()[0]

        first = in_new_thread(open_and_tell)
        with connections["globex"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 1000)", [first])
        second = in_new_thread(open_and_tell)
        assert first != second
        assert pool.open_connections("acme") == 1


@databases("acme", "globex", transaction=True)
class TestAReadOnlyTenant:
    def test_is_not_written_by_whatever_way(self):
        twins(Category, ["acme", "globex"], name="before")

        def work():
            with changed_tenant("acme", status=Status.READ_ONLY), tenant_context("acme"):
                for write in (
                    lambda: Category.objects.create(name="new"),
                    lambda: Category.objects.update(name="new"),
                    lambda: Category.objects.all().delete(),
                    lambda: Category.objects.bulk_create([Category(name="new")]),
                    lambda: connections["acme"].cursor().execute("UPDATE catalog_category SET name = 'new'"),
                    lambda: connections["acme"].cursor().execute("CREATE TABLE new (id integer)"),
                ):
                    with pytest.raises(DatabaseError) as raised:
                        write()
                    assert classify(raised.value) is Fault.READ_ONLY
                assert Category.objects.get().name == "before"
            with tenant_context("globex"):
                Category.objects.update(name="after")

        in_new_thread(work)

    def test_and_one_that_is_not_is(self):
        """The negative control."""

        def work():
            with tenant_context("acme"):
                Category.objects.create(name="new")

        in_new_thread(work)

    def test_gets_no_connection_that_may_write_and_leaves_none_that_may_not(self):
        def work():
            with tenant_context("acme"):
                Category.objects.count()
            assert pool.idle_connections("acme") == 1
            with (
                changed_tenant("acme", status=Status.READ_ONLY),
                tenant_context("acme"),
                pytest.raises(DatabaseError),
            ):
                Category.objects.create(name="no")
            assert pool.idle_connections("acme") == 1
            with tenant_context("acme"):
                Category.objects.create(name="yes")

        in_new_thread(work)

    def test_cannot_be_written_over_a_connection_that_was_opened_before_its_context(self):
        def work():
            connections["acme"].ensure_connection()
            with (
                changed_tenant("acme", status=Status.READ_ONLY),
                tenant_context("acme"),
                pytest.raises(DatabaseError),
            ):
                Category.objects.create(name="no")

        in_new_thread(work)

    def test_cannot_be_written_in_a_transaction_that_began_before_its_context(self):
        def work():
            with changed_tenant("acme", status=Status.READ_ONLY):
                with (
                    transaction.atomic(using="acme"),
                    tenant_context("acme"),
                    pytest.raises(OpenedToWrite),
                ):
                    Category.objects.create(name="written")
                with tenant_context("acme"):
                    with pytest.raises(DatabaseError):
                        Category.objects.create(name="written")
                    assert not Category.objects.exists()

        in_new_thread(work)

    def test_is_migrated_all_the_same(self):
        def work():
            with (
                changed_tenant("acme", status=Status.READ_ONLY),
                connections["acme"].cursor() as cursor,
            ):
                cursor.execute("DELETE FROM catalog_category")

        in_new_thread(work)


def test_a_request_is_never_bound_to_a_suspended_tenant():
    with (
        changed_tenant("acme", status=Status.SUSPENDED) as acme,
        request_scope(),
        pytest.raises(TenantNotServed, match="acme"),
    ):
        enter_request(acme)


def test_of_threads_that_end_one_scope_one_gives_back():
    class Slow:
        def give_back(self):
            given.append(self)
            time.sleep(0.001)
            return True

    for _ in range(20):
        given = []
        frame = Frame(None, is_request=True)
        frame.held = {(number, "acme"): Slow() for number in range(10)}
        threads = [threading.Thread(target=frame.end) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(given) == len(set(given)) == 10
