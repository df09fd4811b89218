"""Live tenants.yaml: a change is seen without a restart, whole or not at all."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from rest_framework.test import APIClient

from tenancy import compiler, live
from tenancy.compiled import Terms
from tenancy.context import current_tenant, enter_request
from tenancy.exceptions import RegistryUnavailable, TenantNotFound
from tenancy.live import LiveRegistry
from tenancy.middleware import TenantScopeMiddleware
from tenancy.pool import pool
from tenancy.registry import Registry, registry_changed
from tenancy.testing import databases
from users import authentication

SECRET = "hunter2-s3cret"
TERMS = Terms("tenants.yaml", production=True, control=None, secret="the-key-of-the-seal")
ENVIRON = {"PW": SECRET}


def text(**urls):
    """A tenants.yaml of tenants with these URLs, or with one of their own."""
    return "version: 1\ntenants:\n" + "".join(
        f"  {name}: {{name: {name}, url: '{url or f'postgres://app:${{PW}}@db1.internal/{name}'}'}}\n"
        for name, url in urls.items()
    )


GOOD = text(acme=None, globex=None)
MORE = text(acme=None, globex=None, hooli=None)
BROKEN = GOOD.replace("url:", "urls:", 1)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "tenants.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def make(file, tmp_path):
    def make(**options):
        return LiveRegistry(file, TERMS, tmp_path / "compiled", **({"environ": ENVIRON} | options))

    return make


@pytest.fixture
def registry(make):
    return make()


@pytest.fixture
def signals():
    seen = []

    def note(sender, added, removed, changed, **kwargs):
        seen.append((set(added), set(removed), set(changed)))

    registry_changed.connect(note)
    yield seen
    registry_changed.disconnect(note)


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="tenancy.registry")
    return caplog


def write(file, content):
    """As careful people do it: whole, and then in its place."""
    draft = file.with_name("draft")
    draft.write_text(content)
    draft.replace(file)


def pass_time(registry, seconds):
    registry._looked -= seconds
    registry._due -= seconds


def look(registry, *, after=1.1):
    """A request, so many seconds after the last one; then the reader, if there is one, gets its time."""
    pass_time(registry, after)
    if registry.is_due():
        registry.refresh()
    if reader := registry._reader:
        reader.join(30)


def ids(registry):
    return list(registry.current.ids)


# A change, and what does not change with it.


def test_a_change_is_in_use_without_a_restart(file, registry, signals, log):
    before = registry.current
    write(file, MORE.replace("acme, url", "Acme Inc, url"))
    look(registry)
    assert ids(registry) == ["acme", "globex", "hooli"]
    assert registry.current.get("acme").name == "Acme Inc"
    assert registry.error is None
    assert registry.current.generation != before.generation
    assert registry.current.since >= before.since
    assert signals == [({"hooli"}, set(), {"acme"})]
    assert "added hooli; removed none; changed acme." in log.text
    assert "db1" not in log.text
    # Who had the one before has it still, whole.
    assert list(before.ids) == ["acme", "globex"]
    assert before.get("acme").name == "acme"


def test_a_tenant_that_is_removed_is_no_longer_known(file, registry, signals):
    write(file, text(globex=None))
    look(registry)
    assert signals == [(set(), {"acme"}, set())]
    with pytest.raises(TenantNotFound):
        registry.current.get("acme")


def test_unchanged_tenants_are_the_same_objects_and_changed_ones_are_new(file, registry):
    acme, globex = (registry.current.get(name) for name in ("acme", "globex"))
    acme.database["NAME"] = "changed in place"
    write(file, MORE.replace("internal/globex", "internal/elsewhere"))
    look(registry)
    assert registry.current.get("acme") is acme
    assert registry.current.get("acme").database["NAME"] == "changed in place"
    assert registry.current.get("globex") is not globex
    assert registry.current.get("globex").database["NAME"] == "elsewhere"
    assert globex.database["NAME"] == "globex"  # for whoever still works with it


def test_a_comment_is_a_new_generation_with_the_same_tenants(file, registry, signals):
    acme, generation = registry.current.get("acme"), registry.current.generation
    write(file, GOOD + "# said\n")
    look(registry)
    assert registry.current.get("acme") is acme
    assert registry.current.generation != generation
    assert signals == [(set(), set(), set())]


def test_touching_it_changes_nothing(file, registry, signals, log):
    before = registry.current
    file.touch()
    look(registry)
    write(file, GOOD)
    look(registry)
    assert registry.current is before
    assert (signals, log.text) == ([], "")


def test_receivers_that_fail_do_not_keep_a_change_away(file, registry, signals):
    def fail(**kwargs):
        raise KeyError("receiver")

    registry_changed.connect(fail)
    try:
        write(file, MORE)
        look(registry)
    finally:
        registry_changed.disconnect(fail)
    assert "hooli" in registry.current
    assert len(signals) == 1
    assert registry._reader is None


def test_a_large_change_is_compiled_apart(file, registry, monkeypatch):
    apart = []
    real = compiler._compile_apart
    monkeypatch.setattr(compiler, "_compile_apart", lambda *args: apart.append(1) or real(*args))
    monkeypatch.setenv("PW", SECRET)
    write(file, text(**{f"t-{number}": None for number in range(1000)}))
    look(registry)
    assert (len(registry.current), apart) == (1000, [1])
    assert registry.current.get("t-999").database["PASSWORD"] == SECRET


def test_another_process_takes_what_was_compiled(file, make, monkeypatch):
    first, second = make(), make()
    write(file, MORE)
    look(first)
    monkeypatch.setattr(compiler, "seal", None)
    look(second)
    assert ids(second) == ids(first) == ["acme", "globex", "hooli"]


# When it looks.


@pytest.fixture
def settled(monkeypatch):
    """Files are older than any clock's tick, so that their times are believed."""
    monkeypatch.setattr(live, "CLOCK_NS", 0)


def test_it_looks_at_most_once_a_second(settled, registry, monkeypatch):
    looks = []
    real = live._signature
    monkeypatch.setattr(live, "_signature", lambda file: looks.append(1) or real(file))
    for _ in range(5):
        look(registry, after=0.19)
    assert looks == []
    look(registry, after=0.19)
    assert looks == [1]
    look(registry, after=0.5)
    assert looks == [1]


def slow_down(registry, monkeypatch):
    """Compiling takes until the event that this returns is set."""
    may_go_on, real = threading.Event(), registry.compiler.compiled

    def slow(*arguments, **options):
        assert may_go_on.wait(30)
        return real(*arguments, **options)

    monkeypatch.setattr(registry.compiler, "compiled", slow)
    return may_go_on


def test_a_request_does_not_wait_for_a_change_while_others_are_served(file, registry, monkeypatch):
    may_go_on = slow_down(registry, monkeypatch)
    write(file, MORE)
    pass_time(registry, 1.5)
    registry.refresh()  # comes back, and with the registry that was good
    assert ids(registry) == ["acme", "globex"]
    assert not registry.is_due()
    pass_time(registry, 1.1)
    registry.refresh()  # nor does the next
    may_go_on.set()
    registry._reader.join(30)
    assert "hooli" in registry.current


def test_an_idle_process_reads_a_change_before_it_serves(file, registry):
    write(file, MORE)
    pass_time(registry, 2.1)
    registry.refresh()
    assert "hooli" in registry.current
    assert not registry.is_due()


def test_whoever_comes_while_an_idle_process_reads_waits_as_well(file, registry, monkeypatch):
    started, may_go_on, seen = threading.Event(), threading.Event(), []
    real = registry.compiler.compiled

    def slow(*args, **options):
        started.set()
        may_go_on.wait(30)
        return real(*args, **options)

    monkeypatch.setattr(registry.compiler, "compiled", slow)
    write(file, MORE)
    pass_time(registry, 3600)

    def request():
        if registry.is_due():
            registry.refresh()
        seen.append("hooli" in registry.current)

    threads = [threading.Thread(target=request) for _ in range(4)]
    threads[0].start()
    assert started.wait(30)
    for thread in threads[1:]:
        thread.start()
    assert registry.is_due()
    assert seen == []
    may_go_on.set()
    for thread in threads:
        thread.join(30)
    assert seen == [True] * 4


def test_nobody_waits_for_ever(file, registry, monkeypatch):
    may_go_on = slow_down(registry, monkeypatch)
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.05)
    write(file, MORE)
    pass_time(registry, 3600)
    registry.refresh()
    assert ids(registry) == ["acme", "globex"]
    may_go_on.set()
    registry._reader.join(30)
    assert "hooli" in registry.current


def test_an_idle_process_whose_file_is_the_same_starts_no_thread(settled, registry, monkeypatch):
    monkeypatch.setattr(live.threading, "Thread", None)
    pass_time(registry, 3600)
    registry.refresh()
    assert not registry.is_due()


def test_zero_switches_it_off(file, make):
    registry = make(seconds=0)
    write(file, MORE)
    pass_time(registry, 3600)
    assert not registry.is_due()
    assert ids(registry) == ["acme", "globex"]


def test_seconds_are_a_setting(file, make):
    registry = make(seconds=30)
    write(file, MORE)
    look(registry, after=29)
    assert ids(registry) == ["acme", "globex"]
    look(registry, after=2)
    assert "hooli" in registry.current


def test_a_process_without_a_free_thread_goes_on_and_tries_again(file, registry, monkeypatch, log):
    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    write(file, MORE)
    with monkeypatch.context() as patch:
        patch.setattr(live.threading, "Thread", NoThread)
        look(registry)
    assert ids(registry) == ["acme", "globex"]
    assert "no thread can be started" in log.text
    look(registry)
    assert "hooli" in registry.current


def test_a_reader_that_died_or_belongs_to_a_parent_process_is_replaced(file, registry):
    dead = threading.Thread(target=lambda: None)
    dead.start()
    dead.join()
    registry._reader = dead
    write(file, MORE)
    look(registry)
    assert "hooli" in registry.current


# What is not valid.


def test_a_file_that_is_refused_changes_nothing_and_is_told_once(file, registry, signals, log):
    before = registry.current
    write(file, BROKEN)
    for _ in range(3):
        look(registry)
    assert registry.current is before
    assert "tenants.acme.urls: unknown key" in str(registry.error)
    [record] = [record for record in log.records if record.levelno == logging.ERROR]
    assert f"generation {before.generation} is kept" in record.getMessage()
    assert "tenants.yaml:3: tenants.acme.urls: unknown key" in record.getMessage()
    assert signals == []
    write(file, BROKEN + "# still\n")
    look(registry)
    assert len([record for record in log.records if record.levelno == logging.ERROR]) == 2


def test_a_refusal_that_comes_from_the_disk_ends_with_its_reason(file, make, tmp_path):
    """Two names of one file are one database. When they are two files, a restart or a touch is enough."""
    (tmp_path / "b.sqlite3").symlink_to(tmp_path / "a.sqlite3")
    write(file, text(acme="sqlite:///a.sqlite3", globex="sqlite:///b.sqlite3"))
    first = make()
    assert "the same database" in str(first.error)
    os.utime(file, (1, 1))  # long ago: what was compiled is younger
    look(first)
    (tmp_path / "b.sqlite3").unlink()
    look(first)
    assert first.error is not None
    assert ids(make()) == ["acme", "globex"]
    file.touch()
    look(first)
    assert first.error is None
    assert ids(first) == ["acme", "globex"]


def in_event_loop(registry):
    """How long a request waits to be begun, while the loop's own threads are all busy."""

    async def request():
        loop = asyncio.get_running_loop()
        free = threading.Event()
        for _ in range(64):
            loop.run_in_executor(None, free.wait, 30)
        started = time.monotonic()
        try:
            if registry.is_due():
                await registry.refresh_async()
            return time.monotonic() - started
        finally:
            free.set()

    return asyncio.run(request())


def test_in_an_event_loop_nobody_waits_for_the_loops_own_threads(file, registry):
    pass_time(registry, 1.1)
    assert in_event_loop(registry) < 0.5
    registry._looker.join(30)  # one that still looks is the next one's, too
    write(file, MORE)
    pass_time(registry, 1.1)
    assert in_event_loop(registry) < 0.5
    registry._looker.join(30)
    if reader := registry._reader:
        reader.join(30)
    assert "hooli" in registry.current


def test_in_an_event_loop_an_idle_process_reads_a_change_before_it_serves(file, registry):
    write(file, MORE)
    pass_time(registry, 3600)
    in_event_loop(registry)
    assert "hooli" in registry.current
    assert not registry.is_due()


def test_in_an_event_loop_a_process_without_a_free_thread_goes_on(registry, monkeypatch, log):
    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    pass_time(registry, 3600)
    monkeypatch.setattr(live.threading, "Thread", NoThread)
    asyncio.run(registry.refresh_async())
    assert "No thread can be started to look at tenants.yaml" in log.text


def test_a_process_that_was_forked_while_another_thread_looked_looks_by_itself(file, registry):
    registry._lock.acquire()  # by a thread that is not in the child
    live._start_anew()
    write(file, MORE)
    look(registry)
    assert "hooli" in registry.current


def test_no_secret_is_told(file, registry, log):
    write(file, text(acme=f"postgres://app:{SECRET}@db1.internal/acme", globex=f"mysql://x:{SECRET}@db9/x"))
    look(registry)
    assert registry.error is not None
    assert "in production take it from the environment" in log.text
    for hidden in (SECRET, "db1", "db9"):
        assert hidden not in log.text


def test_a_thousand_faults_are_not_a_thousand_lines(file, registry, log):
    write(file, text(**{f"t-{number}": "mysql://x/y" for number in range(1000)}))
    look(registry)
    assert len(registry.error.problems) == 1000
    assert len(log.text.splitlines()) <= 21


@pytest.mark.parametrize("content", [GOOD, MORE], ids=["as before", "with more"])
def test_a_file_that_is_valid_again_is_fresh_again(file, registry, content, log):
    acme = registry.current.get("acme")
    write(file, BROKEN)
    look(registry)
    assert registry.error is not None
    write(file, content)
    look(registry)
    assert registry.error is None
    assert registry.current.get("acme") is acme
    write(file, BROKEN)
    look(registry)
    assert registry.error is not None
    assert len([record for record in log.records if record.levelno == logging.ERROR]) == 2


def test_a_service_that_starts_with_a_broken_file_recovers(file, make, signals, log):
    file.write_text(BROKEN)
    registry = make()
    assert log.text == ""  # whoever asks for a tenant is told
    for content in (BROKEN, BROKEN + "# more\n"):
        with pytest.raises(RegistryUnavailable, match="unknown key"):
            registry.current.get("acme")
        write(file, content)
        look(registry)
    assert "none was ever valid" in log.text
    write(file, GOOD)
    look(registry)
    assert registry.current.get("acme").name == "acme"
    assert registry.error is registry.current.error is None
    assert signals == [({"acme", "globex"}, set(), set())]


def test_a_service_that_starts_without_a_file_recovers(file, make):
    file.unlink()
    registry = make()
    with pytest.raises(RegistryUnavailable, match="no such file"):
        registry.current.require()
    file.write_text(GOOD)
    look(registry)
    assert ids(registry) == ["acme", "globex"]


def test_a_variable_that_is_missing_for_a_new_tenant_keeps_the_last_good_one(file, registry):
    write(file, MORE + "  umbrella: {name: U, url_env: UMBRELLA}\n")
    look(registry)
    assert "environment variable UMBRELLA is unset" in str(registry.error)
    assert ids(registry) == ["acme", "globex"]


def test_a_file_over_the_limit_keeps_the_last_good_one(file, make):
    registry = make(max_bytes=len(GOOD))
    write(file, MORE)
    look(registry)
    assert "over" in str(registry.error)
    assert ids(registry) == ["acme", "globex"]


# How files are written.


def test_a_file_that_is_gone_for_a_moment_is_waited_for(file, registry, monkeypatch, log):
    """Some editors move the old file away and then write a new one."""
    file.rename(file.with_name("backup"))
    monkeypatch.setattr(live.time, "sleep", lambda _: file.write_text(MORE))
    look(registry)
    assert "hooli" in registry.current
    assert "refused" not in log.text


def test_a_file_that_stays_away_is_told_once_and_keeps_the_last_good_one(file, registry, monkeypatch, log):
    monkeypatch.setattr(live, "SETTLE_SECONDS", 0.001)
    file.unlink()
    for _ in range(3):
        look(registry)
    assert ids(registry) == ["acme", "globex"]
    assert log.text.count("no such file") == 1
    file.write_text(GOOD)
    look(registry)
    assert registry.error is None


def test_a_file_that_is_half_written_is_waited_for(file, registry, monkeypatch, log):
    file.write_text(MORE[:60])
    monkeypatch.setattr(live.time, "sleep", lambda _: None)
    real = registry._use

    def use(*arguments, **options):
        error = real(*arguments, **options)
        file.write_text(MORE)  # the writer goes on while the half is looked at
        return error

    monkeypatch.setattr(registry, "_use", use)
    look(registry)
    assert "hooli" in registry.current
    assert registry.error is None


def test_what_changes_while_it_is_read_is_read_again(file, registry, monkeypatch):
    """Half of one file and half of another could be valid, too."""
    read, used = live.tenants_file.read_bytes, []
    monkeypatch.setattr(live, "SETTLE_SECONDS", 0.001)

    def torn(*arguments):
        content = read(*arguments)
        if content == MORE.encode():
            return content
        write(file, MORE)
        return GOOD.encode() + b"  torn: {name: T, url: 'sqlite:///torn.sqlite3'}\n"

    real = registry._use
    monkeypatch.setattr(live.tenants_file, "read_bytes", torn)

    def use(content, *arguments, **options):
        used.append(content)
        return real(content, *arguments, **options)

    monkeypatch.setattr(registry, "_use", use)
    file.write_text(GOOD + "# begin\n")
    look(registry)
    assert used == [MORE.encode()]
    assert ids(registry) == ["acme", "globex", "hooli"]


def test_a_file_that_never_holds_still_is_used_as_it_is_at_last(file, registry, monkeypatch):
    read, turns = live.tenants_file.read_bytes, []
    monkeypatch.setattr(live.time, "sleep", lambda _: None)

    def restless(*arguments):
        turns.append(1)
        write(file, MORE + f"# {len(turns)}\n")
        return read(*arguments)

    monkeypatch.setattr(live.tenants_file, "read_bytes", restless)
    write(file, MORE)
    look(registry)
    assert len(turns) == live.SETTLE_TIMES
    assert "hooli" in registry.current


def test_a_link_that_leads_elsewhere_is_followed(file, make, tmp_path):
    """As Kubernetes does: tenants.yaml leads to ..data/tenants.yaml, and ..data to another folder now."""
    for name, content in (("one", GOOD), ("two", MORE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tenants.yaml").write_text(content)
    data = tmp_path / "..data"
    data.symlink_to("one")
    file.unlink()
    file.symlink_to("..data/tenants.yaml")
    registry = make()
    acme = registry.current.get("acme")
    (tmp_path / "..next").symlink_to("two")
    (tmp_path / "..next").replace(data)
    look(registry)
    assert ids(registry) == ["acme", "globex", "hooli"]
    assert registry.current.get("acme") is acme


def test_a_file_in_another_folder_moves_its_sqlite_databases(file, make, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tenants.yaml").write_text(text(acme="sqlite:///acme.sqlite3", globex=None))
    file.unlink()
    file.symlink_to("one/tenants.yaml")
    registry = make()
    acme, globex = (registry.current.get(name) for name in ("acme", "globex"))
    file.unlink()
    file.symlink_to("two/tenants.yaml")
    look(registry)
    assert registry.current.get("globex") is globex
    assert registry.current.get("acme") is not acme
    assert registry.current.get("acme").database["NAME"] == str(tmp_path / "two" / "acme.sqlite3")


def test_a_rewrite_of_the_same_size_within_one_tick_of_the_clock_is_seen(file, registry, monkeypatch):
    """All that ``stat`` says is the same: the file, its size and its times."""
    other = GOOD.replace("internal/acme", "internal/emca")
    assert len(other) == len(GOOD)
    now = time.time_ns()
    facts = file.stat()
    frozen = (now, now, facts.st_size, facts.st_ino, facts.st_dev)
    monkeypatch.setattr(live, "_signature", lambda _: frozen)
    file.write_text(GOOD.replace("internal/acme", "internal/meca"))
    look(registry)
    assert registry.current.get("acme").database["NAME"] == "meca"
    file.write_text(other)
    look(registry)
    assert registry.current.get("acme").database["NAME"] == "emca"
    # When the file is older than any clock's tick, its times are believed.
    monkeypatch.setattr(live.time, "time_ns", lambda: now + 3 * 10**9)
    look(registry)
    file.write_text(GOOD)
    look(registry)
    assert registry.current.get("acme").database["NAME"] == "emca"


def test_a_rewrite_that_keeps_size_and_time_is_seen(file, registry):
    """``cp -p`` and ``rsync -t`` set the time; when they did so cannot be set."""
    facts = file.stat()
    file.write_text(GOOD.replace("internal/acme", "internal/emca"))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    look(registry)
    assert registry.current.get("acme").database["NAME"] == "emca"


def test_fifty_rewrites_in_a_row_end_with_the_last(file, registry):
    for number in range(50):
        file.write_text(text(acme=f"postgres://app@db1.internal/d{number:02}"))
        look(registry)
        assert registry.current.get("acme").database["NAME"] == f"d{number:02}"


def test_threads_meet_one_whole_registry_while_the_file_is_rewritten(file, registry):
    """Every version names its number in every entry; half of the versions are broken."""
    done, problems, served = threading.Event(), [], []

    def version(number):
        return text(**{name: f"postgres://app:${{PW}}@db1.internal/{name}_{number}" for name in names})

    names = [f"t-{number}" for number in range(20)]
    write(file, version(0))
    look(registry)

    def serve():
        while not done.is_set():
            try:
                if registry.is_due():
                    registry.refresh()
                snapshot = registry.current
                numbers = {snapshot.get(name).database["NAME"].partition("_")[2] for name in names}
                served.append(len(numbers))
                if len(numbers) != 1 or int(*numbers) % 2:
                    problems.append(numbers)
                time.sleep(0.001)
            except Exception as exc:  # noqa: BLE001  # whatever it is
                problems.append(exc)

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(1, 51):
        write(
            file, version(number) if number % 2 == 0 else version(number).replace("version: 1", "version: 2")
        )
        look(registry, after=3)
    done.set()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert served
    look(registry, after=3)
    assert registry.current.get("t-7").database["NAME"] == "t-7_50"


# Requests.


@contextmanager
def served(file, folder, content=None):
    """The service on a file of the test's own, whose databases are the tests'."""
    write(file, content or entries())
    registry = LiveRegistry(file, Terms(file.name, production=True, control=None, secret="x"), folder)
    with override_settings(TENANCY_REGISTRY=registry):
        yield registry


def entries(*tenant_ids, suffix=""):
    """Entries of these tenants as the tests' databases are named."""
    return "version: 1\ntenants:\n" + "".join(
        f"  {name}: {{name: {name}{suffix}, url: '{url_of(name)}'}}\n"
        for name in tenant_ids or ("acme", "globex")
    )


#: What the tests gave to the aliases, also of tenants that a file of a test's own leaves out.
FACTS = {alias: connections.settings[alias] for alias in ("control", "acme", "globex")}


def url_of(alias):
    """The URL of the database that the tests gave to an alias."""
    facts = FACTS[alias]
    if facts["ENGINE"].endswith("sqlite3"):
        return f"sqlite:///{facts['NAME']}"
    host = facts["HOST"].replace("/", "%2F")
    return f"postgres://{facts['USER']}@{host}:{facts['PORT'] or 5432}/{facts['NAME']}"


def names_of(client):
    response = client.get("/api/products/")
    assert response.status_code == 200, response.content
    return [product["name"] for product in response.json()["results"]]


def next_request(registry, seconds=2.1):
    """The next request comes after so many seconds: a change is read before it is served."""
    pass_time(registry, seconds)


served_databases = databases("control", "acme", "globex", transaction=True)


@pytest.fixture
def yaml(tmp_path):
    return tmp_path / "live.yaml"


@served_databases
def test_a_removed_tenant_is_refused_and_comes_back(yaml, tmp_path, twin_products, ada, bob):
    twin_products()
    with served(yaml, tmp_path) as registry:
        assert names_of(ada) == ["canary-acme"]
        write(yaml, entries("globex"))
        next_request(registry)
        response = ada.get("/api/products/")
        assert (response.status_code, response.json()["code"]) == (403, "tenant_forbidden")
        assert names_of(bob) == ["canary-globex"]
        write(yaml, entries())
        next_request(registry)
        assert names_of(ada) == ["canary-acme"]


@served_databases
def test_a_new_tenant_is_served_without_a_restart(yaml, tmp_path, twin_products, bob):
    twin_products()
    with served(yaml, tmp_path, entries("acme")) as registry:
        assert bob.get("/api/products/").status_code == 403
        write(yaml, entries())
        next_request(registry)
        assert names_of(bob) == ["canary-globex"]


@served_databases
def test_a_status_acts_at_the_next_look(yaml, tmp_path, twin_products, ada):
    twin_products()
    with served(yaml, tmp_path) as registry:
        assert names_of(ada) == ["canary-acme"]
        write(yaml, entries().replace("name: acme", "status: suspended, name: acme"))
        next_request(registry)
        assert ada.get("/api/products/").json()["code"] == "tenant_suspended"


@served_databases
def test_two_tenants_that_are_swapped_never_show_each_others_data(yaml, tmp_path, twin_products, ada, bob):
    """Each has rows with the same keys. The stamp, which no entry changes, says whose a database is."""
    twin_products()
    with served(yaml, tmp_path) as registry:
        assert (names_of(ada), names_of(bob)) == (["canary-acme"], ["canary-globex"])
        right = entries()
        swapped = right.replace("acme:", "x:").replace("globex:", "acme:").replace("x:", "globex:")
        write(yaml, swapped)
        next_request(registry)
        for client in (ada, bob):
            response = client.get("/api/products/")
            assert (response.status_code, response.json()["code"]) == (503, "tenant_unavailable")
        assert registry.error is None  # it was taken: the way to the other's database was open
        write(yaml, right)
        next_request(registry)
        assert (names_of(ada), names_of(bob)) == (["canary-acme"], ["canary-globex"])


@served_databases
def test_a_repointed_tenant_is_not_served_over_its_old_connection(yaml, tmp_path, twin_products, ada):
    twin_products()
    with served(yaml, tmp_path) as registry:
        assert names_of(ada) == ["canary-acme"]
        assert pool.idle_connections("acme") == 1
        if connections["acme"].vendor == "sqlite":
            elsewhere = f"sqlite:///{tmp_path}/not-there.sqlite3"
        else:
            elsewhere = url_of("acme").rpartition("/")[0] + "/not_there"
        write(yaml, entries().replace(url_of("acme"), elsewhere))
        next_request(registry)
        response = ada.get("/api/products/")
        assert (response.status_code, response.json()["code"]) == (503, "tenant_unavailable")


@served_databases
def test_a_change_between_the_start_of_a_request_and_its_sign_in_is_honoured(
    yaml, tmp_path, twin_products, ada, monkeypatch
):
    """The request begins on the old registry, and finds its tenant in the new one."""
    twin_products()
    with served(yaml, tmp_path) as registry:
        assert names_of(ada) == ["canary-acme"]
        old = registry.current.get("acme")
        find = authentication.find_family

        def slow(claims):
            write(yaml, entries(suffix=" Inc"))
            look(registry, after=3)
            return find(claims)

        monkeypatch.setattr(authentication, "find_family", slow)
        assert names_of(ada) == ["canary-acme"]
        assert registry.current.get("acme") is not old
        assert connections["acme"].settings_dict is registry.current.get("acme").database


@served_databases
@pytest.mark.parametrize("later", ["removed", "repointed"])
def test_a_running_request_finishes_in_the_database_where_it_began(
    yaml, tmp_path, twin_products, ada, monkeypatch, later
):
    """Also when it has not opened its connection yet."""
    twin_products()
    with served(yaml, tmp_path) as registry:

        def enter(tenant):
            enter_request(tenant)
            connections["acme"].close()
            elsewhere = entries().replace(url_of("acme"), f"sqlite:///{tmp_path}/not-there.sqlite3")
            write(yaml, entries("globex") if later == "removed" else elsewhere)
            look(registry, after=3)
            with pytest.raises(TenantNotFound) if later == "removed" else tenant_of(registry, tenant):
                registry.current.get("acme")

        with monkeypatch.context() as patch:
            patch.setattr(authentication, "enter_request", enter)
            assert names_of(ada) == ["canary-acme"]
        next_request(registry)
        assert ada.get("/api/products/").status_code == (403 if later == "removed" else 503)


@contextmanager
def tenant_of(registry, old):
    yield
    assert registry.current.get("acme") is not old


@served_databases
@override_settings(TENANCY_POOL_WAIT=20)  # eight threads on a share of four, on a machine that has other work
def test_threads_serve_while_the_file_is_rewritten_and_no_data_crosses(
    yaml, tmp_path, twin_products, ada, bob
):
    """Fifty times, and every other time it is broken. Each version makes both tenants new ones."""
    twin_products()
    done, answers = threading.Event(), []

    def serve(token, expected):
        client = APIClient(HTTP_AUTHORIZATION=token)
        try:
            while not done.is_set():
                response = client.get("/api/products/")
                names = [product["name"] for product in response.json().get("results", [])]
                answers.append((response.status_code, names) == (200, [expected]) or response.content)
        finally:
            connections.close_all()

    with served(yaml, tmp_path) as registry:
        threads = [
            threading.Thread(target=serve, args=(client._credentials["HTTP_AUTHORIZATION"], f"canary-{name}"))
            for client, name in ((ada, "acme"), (bob, "globex")) * 4
        ]
        for thread in threads:
            thread.start()
        for number in range(50):
            good = entries(suffix=f" {number}")
            write(yaml, good if number % 2 else good.replace("version: 1", "version: 2"))
            look(registry, after=3)
        done.set()
        for thread in threads:
            thread.join(30)
        assert registry.current.get("acme").name == "acme 49"
    assert len(answers) > 50
    assert {answer for answer in answers if answer is not True} == set()


@served_databases
def test_readyz_tells_fresh_stale_and_fresh_again(yaml, tmp_path, client):
    def registry_of(response):
        return response.status_code, response.json()["registry"]

    with served(yaml, tmp_path) as registry:
        status, before = registry_of(client.get("/readyz"))
        assert (status, before["state"]) == (200, "fresh")
        assert before["generation"] == registry.current.generation
        write(yaml, "version: 2\n")
        next_request(registry)
        assert registry_of(client.get("/readyz")) == (200, before | {"state": "stale"})
        write(yaml, entries(suffix=" Inc"))
        next_request(registry)
        status, after = registry_of(client.get("/readyz"))
        assert (status, after["state"]) == (200, "fresh")
        assert after["generation"] != before["generation"]
        assert after["since"] >= before["since"]


@served_databases
def test_readyz_says_503_until_a_file_was_valid(yaml, tmp_path, client):
    with served(yaml, tmp_path, "version: 2\n") as registry:
        response = client.get("/readyz")
        assert (response.status_code, response.json()["registry"]["state"]) == (503, "stale")
        write(yaml, entries())
        next_request(registry)
        response = client.get("/readyz")
        assert (response.status_code, response.json()["registry"]["state"]) == (200, "fresh")


def test_every_request_looks_before_its_scope_opens(yaml, tmp_path):
    seen = []

    class Source(Registry):
        def is_due(self):
            return True

        def refresh(self):
            seen.append(current_tenant())
            super().refresh()

    middleware = TenantScopeMiddleware(lambda _: HttpResponse())
    with override_settings(TENANCY_REGISTRY=Source({})):
        middleware(RequestFactory().get("/"))
    assert seen == [None]


@pytest.mark.parametrize("seconds", [1.1, 3600], ids=["busy", "idle"])
def test_an_event_loop_turns_while_the_file_is_looked_at(registry, monkeypatch, seconds):
    turned, real = threading.Event(), registry.refresh

    def refresh():
        assert turned.wait(10)
        real()

    async def view(request):
        return HttpResponse()

    async def serve():
        answer = asyncio.create_task(TenantScopeMiddleware(view)(RequestFactory().get("/")))
        await asyncio.sleep(0.05)
        turned.set()
        return await answer

    monkeypatch.setattr(registry, "refresh", refresh)
    pass_time(registry, seconds)
    with override_settings(TENANCY_REGISTRY=registry):
        assert asyncio.run(serve()).status_code == 200
    assert registry._looker is not threading.main_thread()


def test_an_event_loop_that_has_nothing_to_look_at_changes_no_thread():
    class Source(Registry):
        def refresh(self):
            raise AssertionError("nothing is due")

    async def view(request):
        return HttpResponse()

    with override_settings(TENANCY_REGISTRY=Source({})):
        assert asyncio.run(TenantScopeMiddleware(view)(RequestFactory().get("/"))).status_code == 200


def test_the_projects_registry_is_live():
    source = settings.TENANCY_REGISTRY
    assert isinstance(source, LiveRegistry)
    assert source.file == Path(settings.TENANTS_FILE)
    assert source.seconds == settings.TENANCY_RELOAD_SECONDS == 1.0
    assert source.compiler.folder.path == settings.TENANCY_CACHE_DIR
    assert SECRET not in repr(source)
    assert settings.SECRET_KEY not in repr(source)
