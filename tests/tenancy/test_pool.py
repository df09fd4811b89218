"""Who gets a connection, and who waits: the pool's rules, with connections that are none."""

from __future__ import annotations

import gc
import os
import threading
import time

import pytest
from django.test import override_settings

from tenancy import servers
from tenancy.exceptions import DatabaseBusy, DatabaseFault, DatabaseUnavailable
from tenancy.pool import Pool, Wish


class Fake:
    """Open from the start, in the slot that it was granted."""

    def __init__(self, pool, slot):
        self.pool, self.slot, self.alias = pool, slot, slot.alias
        self.usable = True
        self.goodbye = 0.0
        self.closed = False
        pool.hold(slot, self)

    def is_fit(self):
        return self.usable

    def discard(self, *, patiently=True):
        if patiently:
            time.sleep(self.goodbye)
        slot, self.slot, self.closed = self.slot, None, True
        if slot is not None:
            self.pool.release(slot)


@pytest.fixture(autouse=True)
def small():
    with override_settings(
        TENANCY_POOL_SIZE=3,
        TENANCY_POOL_TENANT_SHARE=2,
        TENANCY_POOL_CONTROL_SIZE=1,
        TENANCY_POOL_WAIT=0.05,
        TENANCY_BREAKER_FAILURES=2,
        TENANCY_BREAKER_SECONDS=0.05,
    ):
        yield


@pytest.fixture
def pool():
    return Pool()


#: Whoever opens a connection holds it until the test ends.
held = []


@pytest.fixture(autouse=True)
def nobody_holds_anything():
    yield
    held.clear()


def opened(pool, alias, server=None):
    """A connection: an idle one, or a new one."""
    connection = pool.take(alias)
    if connection is None:
        grant = pool.reserve(alias, server)
        connection = grant.connection
        if connection is None:
            connection = Fake(pool, grant.slot)
            pool.connected(grant.slot)
    held.append(connection)
    return connection


def until_waiting(pool, number=1):
    deadline = time.monotonic() + 5
    while pool.counters.waited < number:
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.001)


def failing(pool, alias, seconds=0.01):
    pool.failed(pool.reserve(alias).slot, seconds)


def in_background(function, *args):
    results = []

    def run():
        try:
            results.append(function(*args))
        except DatabaseFault as exc:
            results.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_what_was_parked_is_taken_by_the_next_of_the_same_tenant(pool):
    first = opened(pool, "acme")
    pool.park(first)
    assert pool.take("globex") is None
    assert pool.take("acme") is first
    assert pool.take("acme") is None


def test_the_last_parked_is_the_first_taken(pool):
    first, second = opened(pool, "acme"), opened(pool, "acme")
    pool.park(first)
    pool.park(second)
    assert pool.take("acme") is second


def test_a_dead_one_is_thrown_away_and_the_next_is_taken(pool):
    first, second = opened(pool, "acme"), opened(pool, "acme")
    pool.park(first)
    pool.park(second)
    second.usable = False
    assert pool.take("acme") is first
    assert second.closed
    assert pool.open_connections("acme") == 1


def test_beyond_the_budget_the_longest_idle_is_closed(pool):
    one, two, three = (opened(pool, alias) for alias in ("a1", "a2", "a3"))
    for connection in (two, one, three):
        pool.park(connection)
    four = opened(pool, "a4")
    assert [connection.closed for connection in (one, two, three, four)] == [False, True, False, False]
    assert pool.open_connections() == 3


def test_one_in_use_is_never_closed(pool):
    used = [opened(pool, alias) for alias in ("a1", "a2", "a3")]
    with pytest.raises(DatabaseBusy):
        pool.reserve("a4")
    assert not any(connection.closed for connection in used)


def test_a_tenant_has_a_share_only(pool):
    opened(pool, "acme")
    opened(pool, "acme")
    with pytest.raises(DatabaseBusy):
        pool.reserve("acme")
    opened(pool, "globex")


def test_the_control_plane_has_room_of_its_own_and_no_more(pool):
    for alias in ("a1", "a2", "a3"):
        opened(pool, alias)
    control = opened(pool, "control")
    with pytest.raises(DatabaseBusy):
        pool.reserve("control")
    pool.park(control)
    assert pool.take("control") is control


def test_a_tenants_idle_connection_is_no_room_for_the_control_plane(pool):
    idle = opened(pool, "acme")
    pool.park(idle)
    opened(pool, "control")
    with pytest.raises(DatabaseBusy):
        pool.reserve("control")
    assert not idle.closed


@override_settings(TENANCY_POOL_WAIT=5)
def test_who_waits_is_given_what_is_parked(pool):
    first = opened(pool, "acme")
    opened(pool, "acme")
    thread, results = in_background(opened, pool, "acme")
    until_waiting(pool)
    pool.park(first)
    thread.join(5)
    assert results == [first]


@override_settings(TENANCY_POOL_WAIT=5)
def test_who_waits_is_given_the_room_of_another_tenants(pool):
    used = [opened(pool, alias) for alias in ("a1", "a2", "a3")]
    thread, results = in_background(opened, pool, "a4")
    until_waiting(pool)
    pool.park(used[0])
    thread.join(5)
    assert results[0].alias == "a4"
    assert used[0].closed
    assert pool.open_connections() == 3


@override_settings(TENANCY_POOL_WAIT=5)
def test_those_who_wait_are_served_in_turn_but_nobody_waits_for_anothers_share(pool):
    acme = [opened(pool, "acme"), opened(pool, "acme")]
    globex = opened(pool, "globex")
    order = []

    def wait_for(alias):
        connection = opened(pool, alias)
        order.append(alias)
        return connection

    threads = []
    for number, alias in enumerate(("acme", "initech")):
        threads.append(in_background(wait_for, alias)[0])
        until_waiting(pool, number + 1)
    globex.discard()  # room, and acme may not have it
    threads[1].join(5)
    assert order == ["initech"]
    pool.park(acme[0])
    threads[0].join(5)
    assert order == ["initech", "acme"]


def test_one_finds_out_whether_a_database_can_be_reached_and_the_others_wait(pool):
    first = pool.reserve("acme").slot
    with pytest.raises(DatabaseBusy):
        pool.reserve("acme")
    started = time.monotonic()
    time.sleep(0.05)
    with pytest.raises(DatabaseBusy):  # it takes its time; nobody waits for it any more
        pool.reserve("acme")
    assert time.monotonic() - started < 0.1
    held.append(Fake(pool, first))
    pool.connected(first)
    assert pool.reserve("acme").slot is not None


@override_settings(TENANCY_POOL_WAIT=5)
def test_when_it_cannot_be_reached_those_who_wait_hear_it_at_once(pool):
    slot = pool.reserve("acme").slot
    thread, results = in_background(pool.reserve, "acme")
    until_waiting(pool)
    pool.failed(slot, 2.0)
    thread.join(1)
    assert isinstance(results[0], DatabaseUnavailable)


def test_nobody_waits_for_connections_that_are_all_stuck(pool):
    opened(pool, "acme")
    opened(pool, "acme")
    pool.note_stuck({"acme": 2})
    with override_settings(TENANCY_POOL_WAIT=60), pytest.raises(DatabaseBusy):
        pool.reserve("acme")


def test_an_unreachable_database_is_refused_without_trying_and_tried_again_later(pool):
    failing(pool, "acme")
    failing(pool, "acme")
    with pytest.raises(DatabaseUnavailable):
        pool.reserve("acme")
    opened(pool, "globex")
    time.sleep(0.06)
    slot = pool.reserve("acme").slot  # the trial
    with pytest.raises(DatabaseUnavailable):
        pool.reserve("acme")
    held.append(Fake(pool, slot))
    pool.connected(slot)
    opened(pool, "acme")


def test_a_trial_that_found_no_room_is_not_the_trial(pool):
    failing(pool, "acme")
    failing(pool, "acme")
    full = [opened(pool, alias) for alias in ("globex", "globex", "initech")]
    time.sleep(0.06)
    with pytest.raises(DatabaseBusy):
        pool.reserve("acme")
    full[0].discard()
    slot = pool.reserve("acme").slot
    assert slot is not None
    pool.abandoned(slot)  # nor is one that came to nothing for another reason
    assert pool.reserve("acme").slot is not None


def test_one_success_forgets_the_failures(pool):
    failing(pool, "acme")
    opened(pool, "acme")
    failing(pool, "acme")
    opened(pool, "acme")


def test_what_was_not_the_databases_fault_counts_for_nothing(pool):
    for _ in range(5):
        pool.abandoned(pool.reserve("acme").slot)
    assert pool.open_connections() == 0
    assert pool.is_quiet()


@override_settings(TENANCY_POOL_SIZE=8, TENANCY_POOL_TENANT_SHARE=4, TENANCY_POOL_WAIT=5)
def test_a_burst_of_one_tenant_waits_and_is_served(pool):
    acme = [opened(pool, "acme") for _ in range(4)]
    burst = [in_background(lambda: pool.park(pool.reserve("acme").connection)) for _ in range(12)]
    until_waiting(pool, 12)
    for connection in acme:
        pool.park(connection)
    for thread, results in burst:
        thread.join(5)
        assert results == [None]


@override_settings(TENANCY_POOL_SIZE=8, TENANCY_POOL_TENANT_SHARE=4, TENANCY_POOL_WAIT=1.5)
def test_a_tenant_that_has_its_share_has_half_as_many_waiting_for_long_and_no_more(pool):
    """Each of them is a thread that works for nobody else."""
    acme = [opened(pool, "acme") for _ in range(4)]
    waiting = [in_background(pool.reserve, "acme")[0] for _ in range(2)]
    until_waiting(pool, 2)
    time.sleep(0.6)
    started = time.monotonic()
    with pytest.raises(DatabaseBusy):
        pool.reserve("acme")
    assert time.monotonic() - started < 0.4
    opened(pool, "globex")
    for connection in acme[:2]:
        pool.park(connection)
    for thread in waiting:
        thread.join(5)
        assert not thread.is_alive()


def test_a_goodbye_that_fails_leaves_the_room(pool):
    idle = [opened(pool, alias) for alias in ("t1", "t2", "t3")]
    for connection in idle:
        pool.park(connection)
    idle[0].goodbye = -1  # no time to sleep: it raises
    with pytest.raises(ValueError, match="non-negative"):
        pool.reserve("t4")
    assert pool.open_connections() == 2
    assert pool.reserve("t4").slot is not None


DB1, DB2 = ("db1", 5432), ("db2", 5432)


def test_a_silent_server_loses_its_idle_connections_and_refuses_all_its_tenants_until_it_is_heard(pool):
    idle, other = opened(pool, "acme", DB1), opened(pool, "globex", DB2)
    pool.park(idle)
    pool.park(other)
    assert pool.silence(DB1) == [idle]
    idle.discard()
    assert pool.take("acme") is None
    assert pool.take("globex") is other
    assert pool.to_be_asked() == [DB1]
    time.sleep(0.06)
    for alias in ("acme", "initech", "control"):
        with pytest.raises(DatabaseUnavailable):
            pool.reserve(alias, DB1)
    pool.heard(DB1)
    assert pool.to_be_asked() == []
    opened(pool, "initech", DB1)


def test_a_server_that_was_slow_to_refuse_is_asked_and_its_other_tenants_are_served_meanwhile(pool):
    pool.failed(pool.reserve("acme", DB1).slot, 2.0)
    assert pool.to_be_asked() == [DB1]
    opened(pool, "globex", DB1)
    time.sleep(0.06)
    with pytest.raises(DatabaseUnavailable):  # one caller's patience was enough
        pool.reserve("acme", DB1)
    pool.heard(DB1)
    opened(pool, "acme", DB1)


def test_a_silent_server_that_nobody_wants_any_more_is_forgotten(pool, monkeypatch):
    pool.silence(DB1)
    pool.silence(DB2)
    assert pool.to_be_asked() == [DB1, DB2]
    monkeypatch.setattr(servers, "FORGOTTEN", 0.05)
    time.sleep(0.06)
    with pytest.raises(DatabaseUnavailable):
        pool.reserve("acme", DB1)
    assert pool.to_be_asked() == [DB1]
    opened(pool, "globex", DB2)


@override_settings(TENANCY_POOL_WAIT=5)
def test_who_waits_for_a_server_that_turns_out_silent_hears_it_at_once(pool):
    opened(pool, "acme", DB1)
    opened(pool, "acme", DB1)
    thread, results = in_background(pool.reserve, "acme", DB1)
    until_waiting(pool)
    pool.silence(DB1)
    thread.join(1)
    assert isinstance(results[0], DatabaseUnavailable)


def test_a_server_takes_no_more_callers_at_a_time_than_a_tenant_may_have(pool):
    """However many tenants it holds: a thread that connects to a dead one is gone for seconds."""
    slots = [pool.reserve(alias, DB1).slot for alias in ("acme", "globex")]
    with pytest.raises(DatabaseBusy):
        pool.reserve("initech", DB1)
    opened(pool, "initech", DB2)
    opened(pool, "control", DB1)  # which has a share of its own
    started = time.monotonic()
    with pytest.raises(DatabaseBusy):
        pool.reserve("umbrella", DB1)
    assert time.monotonic() - started < 0.04  # it takes long by now: nobody waits any more
    pool.connected(slots[0])
    pool.abandoned(slots[1])
    opened(pool, "umbrella", DB1)


def test_who_moved_to_another_server_begins_anew(pool):
    failing(pool, "acme")
    pool.failed(pool.reserve("acme").slot, 2.0)
    with pytest.raises(DatabaseUnavailable):
        pool.reserve("acme")
    opened(pool, "acme", DB2)


def test_a_file_that_is_slow_is_tried_again_like_one_that_is_not_there(pool):
    pool.failed(pool.reserve("acme").slot, 2.0)
    with pytest.raises(DatabaseUnavailable):
        pool.reserve("acme")
    assert pool.to_be_asked() == []
    time.sleep(0.06)
    opened(pool, "acme")


def test_a_fresh_connection_is_none_that_somebody_had(pool):
    for _ in range(2):
        held.append(Fake(pool, pool.reserve("acme").slot))
        pool.connected(held[-1].slot)
    for connection in held:
        pool.park(connection)
    grant = pool.reserve("acme", fresh=True)  # it has its whole share, idle
    assert grant.connection is None
    assert grant.victim is held[0]
    assert held[0].closed
    assert pool.open_connections("acme") == 2


def test_the_only_idle_connection_makes_room_for_a_fresh_one(pool):
    pool.park(opened(pool, "acme"))
    slot = pool.reserve("acme", fresh=True).slot
    pool.connected(slot)
    assert pool.open_connections("acme") == 1


def test_what_a_finalizer_leaves_is_done_by_the_next_caller(pool):
    connection = opened(pool, "acme")
    with pool._lock:  # where the collector may run
        pool.later(connection.discard)
    assert not pool.is_quiet()
    opened(pool, "globex")
    assert connection.closed
    assert pool.open_connections("acme") == 0


@override_settings(TENANCY_POOL_IDLE_SECONDS=0.05)
def test_what_nobody_uses_is_closed_after_a_while(pool):
    old = opened(pool, "acme")
    pool.park(old)
    time.sleep(0.06)
    young = opened(pool, "globex")
    pool.park(young)
    pool.discard_aged()
    assert (old.closed, young.closed) == (True, False)


@override_settings(TENANCY_POOL_MAX_AGE=0.01)
def test_one_that_is_busy_all_the_time_grows_old_too(pool):
    connection = opened(pool, "acme")
    time.sleep(0.02)
    pool.park(connection)
    assert connection.closed


def test_the_idle_connections_of_one_alias_can_be_closed(pool):
    acme, globex = opened(pool, "acme"), opened(pool, "globex")
    pool.park(acme)
    pool.park(globex)
    pool.discard_idle({"acme"})
    assert (acme.closed, globex.closed) == (True, False)
    assert pool.idle_connections() == 1


@override_settings(TENANCY_POOL_SIZE=30, TENANCY_POOL_TENANT_SHARE=30)
def test_servers_that_say_nothing_to_a_goodbye_hold_nobody_up(pool):
    idle = [opened(pool, "acme") for _ in range(20)]
    for connection in idle:
        connection.goodbye = 0.1
        pool.park(connection)
    started = time.monotonic()
    pool.discard_idle()
    assert time.monotonic() - started < 0.5
    assert all(connection.closed for connection in idle)


def test_a_connection_that_is_collected_as_garbage_leaves_its_room(pool):
    connection = opened(pool, "acme")
    assert pool.open_connections("acme") == 1
    held.clear()
    del connection
    gc.collect()
    assert pool.open_connections("acme") == 0


def test_nothing_is_remembered_of_a_tenant_that_has_nothing_open(pool):
    for number in range(100):
        opened(pool, f"t{number}").discard()
    for number in range(3):
        opened(pool, f"u{number}")
    with pytest.raises(DatabaseBusy):
        pool.reserve("v1")
    assert set(pool._accounts) == {"u0", "u1", "u2"}


def test_a_forked_process_starts_with_nothing_and_closes_nothing(pool):
    parked = opened(pool, "acme")
    pool.park(parked)
    pool.forget()
    assert pool.take("acme") is None
    assert pool.open_connections() == 0
    gc.collect()
    assert not parked.closed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="There is nothing to fork here.")
def test_it_is_told_of_a_fork():
    from tenancy.pool import pool

    before = pool.open_connections()
    slot = pool.reserve("of-nobody-else").slot  # a tenant of the tests' may have its share already
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(pool.open_connections()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"0"
    assert pool.open_connections() == before + 1
    os.close(reader)
    os.close(writer)
    pool.abandoned(slot)


def test_who_looks_at_what_is_open_disturbs_nobody(pool):
    over = threading.Event()
    seen = []

    def look():
        while not over.is_set():
            seen.append(len(list(pool.holders())))

    def work(number):
        for step in range(300):
            try:
                opened(pool, f"t{number}-{step % 3}").discard()
            except DatabaseBusy:
                continue

    watcher, failures = in_background(look)
    threads = [in_background(work, number) for number in range(4)]
    for thread, _ in threads:
        thread.join(30)
    over.set()
    watcher.join(5)
    assert failures == [None]
    assert [results for _, results in threads] == [[None]] * 4
    assert max(seen) <= 4
    held.clear()
    gc.collect()
    assert list(pool.holders()) == []


def test_many_threads_never_open_more_than_the_budget(pool):
    most = []
    lock = threading.Lock()
    living = set()

    def work(seed):
        for step in range(200):
            alias = f"t{(seed * 7 + step) % 10}"
            try:
                connection = opened(pool, alias)
            except DatabaseBusy:
                continue
            with lock:
                living.add(connection)
                most.append(len([one for one in living if not one.closed]))
            assert connection.alias == alias
            if step % 5:
                pool.park(connection)
            else:
                connection.discard()
            with lock:
                living.discard(connection)

    threads = [in_background(work, seed) for seed in range(8)]
    for thread, _ in threads:
        thread.join(30)
    assert [results for _, results in threads] == [[None]] * 8
    assert max(most) <= 3
    pool.discard_idle()
    assert pool.open_connections() == 0
    assert pool.counters.opened > 100


def test_a_chore_that_fails_is_not_the_trouble_of_who_comes_by(pool, caplog):
    def fail():
        raise ValueError("somebody else's")

    pool.later(fail)
    assert pool.reserve("globex").slot is not None
    assert "A connection could not be closed" in caplog.text


def test_whoever_is_interrupted_while_waiting_leaves_what_it_was_given(pool):
    acme = [opened(pool, "acme") for _ in range(2)]
    waiter = pool._grant_or_queue(Wish("acme"))

    class Interrupted:
        def acquire(self, timeout):
            pool.park(acme[0])  # it is served, and Ctrl-C comes
            raise KeyboardInterrupt

    waiter.served, lock = Interrupted(), waiter.served
    waiter.served.release = lock.release
    with pytest.raises(KeyboardInterrupt):
        pool._wait(waiter, 1)
    assert pool.open_connections("acme") == 1
    assert pool.reserve("acme").slot is not None
