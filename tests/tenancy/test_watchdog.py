"""Servers that stop answering, and how everybody gets away."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
from django.db import OperationalError, connections
from django.test import override_settings

from catalog.models import Category
from tenancy import watchdog as watchdog_module
from tenancy.backends.faults import Fault, classify
from tenancy.backends.postgresql import base as postgresql_base
from tenancy.context import tenant_context
from tenancy.exceptions import DatabaseBusy, DatabaseUnavailable
from tenancy.pool import Pool, pool
from tenancy.servers import server_of
from tenancy.testing import databases, repointed
from tenancy.watchdog import Watchdog, answers

HAS_SERVER = connections["acme"].vendor == "postgresql"


#: The server's message to whom it has let in.
#: https://www.postgresql.org/docs/current/protocol-message-formats.html
READY = b"Z\x00\x00\x00\x05I"


class Line:
    """A TCP server that hands what it gets to another address, both ways, until it is told to be silent."""

    def __init__(self, target):
        self.target = target
        self.ended = False
        self.silent = threading.Event()
        #: Say nothing more to whom it has let in; or to nobody any more.
        self.forgets_whom_it_lets_in = False
        self.lets_in_and_falls_silent = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(near)
            if self.ended:  # it came while the test went
                near.close()
                return
            if self.silent.is_set():
                continue  # accepted, as a kernel does for a process that hangs
            far = socket.socket(socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET)
            far.connect(self.target)
            self.sockets.append(far)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        while True:
            try:
                data = source.recv(65536)
                if self.silent.is_set():
                    return
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
                if READY in data:
                    if self.lets_in_and_falls_silent:
                        self.silent.set()
                    if self.forgets_whom_it_lets_in:
                        return
            except OSError:
                return

    def close(self):
        self.ended = True
        for one in self.sockets:
            one.close()


@pytest.fixture
def line():
    settings = connections.settings["acme"]
    port = int(settings["PORT"] or 5432)
    line = Line(str(Path(settings["HOST"]) / f".s.PGSQL.{port}"))
    with repointed("acme", HOST="127.0.0.1", PORT=str(line.port)):
        yield line
    line.close()


@pytest.fixture
def quiet_address():
    """Where a connection is accepted and nothing ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield "127.0.0.1", server.getsockname()[1]


@pytest.fixture
def dead_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return "127.0.0.1", port


def count():
    with tenant_context("acme"):
        return Category.objects.count()


def in_new_thread(function):
    results = []

    def run():
        started = time.monotonic()
        try:
            results.append(function())
        except OperationalError as exc:
            results.append(exc)
        finally:
            connections.close_all()
            results.append(time.monotonic() - started)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_nobody_answers_at_a_dead_address_nor_at_a_quiet_one(dead_address, quiet_address):
    assert not answers(dead_address, 0.2)
    assert not answers(quiet_address, 0.2)
    assert not answers(("/no/such/folder", 5432), 0.2)


def test_a_database_that_is_a_file_has_no_server():
    assert server_of({"NAME": "x", "HOST": ""}) is None
    assert server_of({"HOST": "db1", "PORT": ""}) == ("db1", 5432)


def test_it_sleeps_when_there_is_nothing_to_look_at():
    pool.discard_idle()
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
    dog = Watchdog(pool)
    dog.wake()
    thread = dog._thread
    thread.join(5)
    assert not thread.is_alive()
    assert dog._thread is None


def test_a_thread_that_cannot_be_started_is_started_by_whoever_comes_next(monkeypatch, caplog, quiet_address):
    dog = Watchdog(Pool())
    real = threading.Thread

    class NoThread(real):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(watchdog_module.threading, "Thread", NoThread)
    dog.wake()
    asked = threading.Event()
    dog._ask(quiet_address, asked.set)
    assert "No thread can be started" in caplog.text
    monkeypatch.setattr(watchdog_module.threading, "Thread", real)
    dog._ask(quiet_address, asked.set)
    assert asked.wait(5)
    dog.wake()
    dog._thread.join(5)
    assert dog._thread is None


def test_a_mistake_of_its_own_does_not_end_it(monkeypatch, caplog):
    dog = Watchdog(pool)
    looks = []

    def stumble():
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("oops")

    monkeypatch.setattr(watchdog_module, "TICK", 0.001)
    monkeypatch.setattr(dog, "look", stumble)
    monkeypatch.setattr(type(pool), "is_quiet", lambda _: len(looks) > 2)
    dog._run()
    assert len(looks) == 3
    assert "stumbled" in caplog.text


if HAS_SERVER:

    def test_a_server_answers():
        assert answers(server_of(connections.settings["acme"]))

    @databases("acme", "globex", transaction=True)
    def test_a_call_to_a_server_that_fell_silent_ends_in_time_and_the_next_at_once(line):
        """Its kernel goes on accepting and acknowledging, so no time limit of TCP's is ever reached."""
        thread, results = in_new_thread(count)
        thread.join(10)
        assert results[0] == 0
        line.silent.set()
        thread, results = in_new_thread(count)
        thread.join(10)
        error, seconds = results
        assert isinstance(error, OperationalError)
        assert classify(error) is Fault.UNAVAILABLE
        assert seconds < 2.5
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            count()
        assert time.monotonic() - started < 0.1
        with tenant_context("globex"):
            assert Category.objects.count() == 0
        line.silent.clear()
        assert served_again() < 2.0
        assert count() == 0

    def served_again():
        started = time.monotonic()
        while time.monotonic() - started < 10:
            try:
                count()
            except DatabaseUnavailable:
                time.sleep(0.05)
            else:
                break
        return time.monotonic() - started

    @databases("acme", transaction=True)
    def test_a_server_that_never_answers_costs_one_caller_its_patience_and_nobody_another(line):
        line.silent.set()
        first, first_results = in_new_thread(count)
        time.sleep(0.1)
        others = [in_new_thread(count) for _ in range(4)]
        for thread, _ in others:
            thread.join(10)
        assert all(isinstance(results[0], DatabaseBusy) and results[1] < 0.6 for _, results in others)
        thread, results = in_new_thread(count)  # it is taking its time by now: nobody waits any more
        thread.join(10)
        assert isinstance(results[0], DatabaseBusy | DatabaseUnavailable)
        assert results[1] < 0.2
        first.join(10)
        assert isinstance(first_results[0], DatabaseUnavailable)
        assert first_results[1] < 2.5
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            count()
        assert time.monotonic() - started < 0.1
        line.silent.clear()
        assert served_again() < 2.0

    @databases("acme", transaction=True)
    def test_a_server_that_lets_in_and_falls_silent_costs_no_more(line):
        line.lets_in_and_falls_silent = True
        thread, results = in_new_thread(count)
        thread.join(10)
        assert classify(results[0]) is Fault.UNAVAILABLE
        assert results[1] < 2.5

    @databases("acme", transaction=True)
    def test_a_server_that_forgets_whom_it_lets_in_costs_no_more_though_it_answers(line):
        """As a proxy that hangs between two of its own steps: asked whether it is there it says so."""
        line.forgets_whom_it_lets_in = True
        thread, results = in_new_thread(count)
        thread.join(10)
        assert classify(results[0]) is Fault.UNAVAILABLE
        assert results[1] < 2.5
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            count()
        assert time.monotonic() - started < 0.1
        line.forgets_whom_it_lets_in = False
        assert served_again() < 2.0

    @databases("acme", transaction=True)
    def test_a_call_that_the_server_should_have_ended_is_ended(line, monkeypatch):
        monkeypatch.setitem(postgresql_base.LIMITS, "statement_timeout", 0)
        with tenant_context("acme"), connections["acme"].cursor() as cursor:
            started = time.monotonic()
            with pytest.raises(OperationalError):
                cursor.execute("SELECT pg_sleep(8)")
            assert time.monotonic() - started < 2.5

    @databases("acme", transaction=True)
    def test_a_new_connection_says_nothing_before_it_is_asked_whose_it_is(line):
        """A statement of Django's own would be a trip to the server on every connection."""
        with tenant_context("acme"), connections["acme"].cursor() as cursor:
            cursor.execute("SELECT current_setting('TimeZone'), now() = now() AT TIME ZONE 'UTC'")
            assert cursor.fetchone() == ("GMT", True)
        connections["acme"].close()
        with mock.patch.object(connections["acme"].ops, "set_time_zone_sql") as asked:
            connections["acme"].connect()
        asked.assert_not_called()

    @databases("acme", transaction=True)
    @pytest.mark.parametrize(("zone", "is_set"), [("Etc/UTC", False), ("Europe/Berlin", True)])
    def test_the_zone_is_set_where_the_session_has_another(line, zone, is_set):
        with tenant_context("acme"):
            connections["acme"].ensure_connection()
            with connections["acme"].cursor() as cursor:
                cursor.execute(f"SET TimeZone = '{zone}'")
            assert connections["acme"].ensure_timezone() is is_set
            with connections["acme"].cursor() as cursor:
                cursor.execute("SHOW TimeZone")
                assert cursor.fetchone() == ("UTC" if is_set else zone,)

    @databases("acme", "globex", transaction=True)
    def test_what_one_learns_of_a_silent_server_spares_its_other_tenants(line):
        def count_globex():
            with tenant_context("globex"):
                return Category.objects.count()

        here = {name: connections.settings["acme"][name] for name in ("HOST", "PORT")}
        line.silent.set()
        thread, results = in_new_thread(count)
        thread.join(10)
        assert isinstance(results[0], DatabaseUnavailable)
        with repointed("globex", **here):
            time.sleep(2 * watchdog_module.TICK + watchdog_module.PATIENCE)
            thread, results = in_new_thread(count_globex)
            thread.join(10)
            assert isinstance(results[0], DatabaseUnavailable)
            assert results[1] < 0.1
            line.silent.clear()
            assert served_again() < 2.0
            assert count_globex() == 0

    @databases("acme", transaction=True)
    def test_a_slow_query_of_a_server_that_lives_is_left_alone(line):
        def slow():
            with tenant_context("acme"), connections["acme"].cursor() as cursor:
                cursor.execute("SELECT pg_sleep(1.5)")
                return "done"

        thread, results = in_new_thread(slow)
        thread.join(10)
        assert results[0] == "done"

    @databases("acme", transaction=True)
    def test_nobody_waits_behind_calls_that_are_all_stuck(line):
        assert count() == 0

        def slow():
            with tenant_context("acme"), connections["acme"].cursor() as cursor:
                cursor.execute("SELECT pg_sleep(1.5)")

        with override_settings(TENANCY_POOL_TENANT_SHARE=1):
            for connection in connections.all(initialized_only=True):
                connection.close()
            busy, _ = in_new_thread(slow)
            time.sleep(1.0)
            thread, results = in_new_thread(count)
            thread.join(10)
            busy.join(10)
        assert isinstance(results[0], DatabaseBusy)
        assert results[1] < 0.2
