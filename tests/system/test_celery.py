"""Reports and tasks on real workers, with a real Redis between them. Workers are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis as client
from celery import Celery

from tests.system import redis

ROOT = Path(__file__).parents[2]
TENANTS = [f"t{number:02d}" for number in range(60)]
#: Seconds for things that take one or two.
PATIENCE = 60


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Sixty tenants with different numbers of products, and the environment that leads to them."""
    folder = tmp_path_factory.mktemp("celery")
    lines = ["version: 1", "tenants:"]
    for tenant_id in TENANTS:
        lines += [f"  {tenant_id}:", f"    name: {tenant_id}", f"    url: sqlite:///{tenant_id}.sqlite3"]
    (folder / "tenants.yaml").write_text("\n".join(lines) + "\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DEBUG": "1",
        "DJANGO_SETTINGS_MODULE": "tests.system.celery_settings",
        "PYTHONPATH": str(ROOT),
        "TENANTS_FILE": str(folder / "tenants.yaml"),
        "TENANCY_CACHE_DIR": str(folder / "cache"),
        "CONTROL_DATABASE_URL": f"sqlite:///{folder}/control.sqlite3",
        "JWT_KEYS_DIR": str(folder / "keys"),
        "WORKLOAD_SECONDS": "0.2",
    }
    (folder / "cache").mkdir(mode=0o700)
    manage(environment, "migrate", "--database", "control", "--verbosity", "0")
    manage(environment, "tenants", "migrate", "--all")
    manage(environment, "shell", "--command", _FILL)
    with redis.running(folder) as url:
        yield environment | {"CELERY_BROKER_URL": url}
    shutil.rmtree(folder, ignore_errors=True)


_FILL = """
from catalog.models import Category, Product
from tenancy.fleet import each_tenant
for number, tenant in enumerate(each_tenant()):
    category = Category.objects.create(name="Things")
    for place in range(number % 7 + 1):
        Product.objects.create(
            sku=f"{tenant.id}-{place}", name="x", category=category, price=1, currency="EUR", stock=1
        )
"""


def manage(environment, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@contextmanager
def workers(environment, *names, concurrency=2):
    """Each with a process group of its own, to be killed as a whole."""
    command = [sys.executable, "-m", "celery", "--app", "project", "worker", "--pool", "prefork"]
    started = {}
    try:
        for name in names:
            started[name] = subprocess.Popen(
                [
                    *command,
                    "--concurrency",
                    str(concurrency),
                    "--hostname",
                    f"{name}@%h",
                    "--loglevel",
                    "INFO",
                ],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        app = application(environment)
        deadline = time.monotonic() + PATIENCE
        while len(app.control.ping(timeout=1)) < len(names):
            assert time.monotonic() < deadline, "the workers do not start"
        yield started
    finally:
        for process in started.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def application(environment):
    url = environment["CELERY_BROKER_URL"]
    app = Celery("client", broker=url, backend=url, set_as_current=False)
    app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"])
    return app


def report(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, "manage.py", "report", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_of_two_workers_is_killed_in_the_middle_and_every_tenant_counts_once(stage):
    expected = json.loads(manage(stage, "report", "slow", "--format", "json", "--jobs", "20"))
    store = client.Redis.from_url(stage["CELERY_BROKER_URL"])
    with workers(stage, "a", "b") as started:
        run = report(stage, "slow", "--celery", "--chunk", "4", "--jobs", "1", "--format", "json")
        deadline = time.monotonic() + PATIENCE
        while not store.keys("celery-task-meta-*"):  # until something has been answered, or begun
            assert time.monotonic() < deadline
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.02)
        time.sleep(0.5)
        assert run.poll() is None, "it was over before anybody was killed"
        os.killpg(started["a"].pid, signal.SIGKILL)
        started["a"].wait()
        out, err = run.communicate(timeout=120)
        lost = store.hlen("unacked")
    assert run.returncode == 0, err
    # It had messages that the broker would give to another in an hour: the coordinator did not wait for that.
    assert lost > 0
    found = json.loads(out)
    counted = Counter(tenant["tenant"] for tenant in found["tenants"])
    assert set(counted) == set(TENANTS)
    assert set(counted.values()) == {1}
    assert found["complete"] is True
    assert found["totals"] == expected["totals"]
    assert found["totals"][0]["products"] == sum(number % 7 + 1 for number in range(len(TENANTS)))
    for mine, theirs in zip(found["tenants"], expected["tenants"], strict=True):
        assert mine["rows"] == theirs["rows"]


def test_without_any_worker_it_says_so(stage):
    run = report(stage, "slow", "--celery")
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (1, "")
    assert err.startswith("error: No worker answers at the broker.")


def test_a_task_runs_for_its_tenant_in_a_process_that_has_none_before_or_after(stage):
    app = application(stage)
    with workers(stage, "c", concurrency=1):
        for tenant_id in ("t01", "t02", "t01"):
            process, tenant = app.send_task("workload.whose").get(timeout=PATIENCE)
            assert tenant is None
            sent = app.send_task("workload.skus", headers={"tenant_id": tenant_id})
            number = int(tenant_id[1:])
            assert sent.get(timeout=PATIENCE) == [
                process,
                [f"{tenant_id}-{place}" for place in range(number + 1)],
            ]
        assert app.send_task("workload.whose").get(timeout=PATIENCE) == [process, None]
        with pytest.raises(Exception, match="needs a tenant and none is in context"):
            app.send_task("workload.skus").get(timeout=PATIENCE)
        with pytest.raises(Exception, match="Unknown tenant 'nobody'"):
            app.send_task("workload.skus", headers={"tenant_id": "nobody"}).get(timeout=PATIENCE)


def test_a_task_sent_in_a_context_carries_it_over_the_broker(stage):
    send = (
        "from tenancy.context import tenant_context\n"
        "from tests.system.workload.tasks import skus\n"
        "with tenant_context('t03'):\n"
        "    sent = skus.delay()\n"
        "print(sent.get(timeout=60)[1])\n"
        "try:\n"
        "    skus.delay()\n"
        "except Exception as exc:\n"
        "    print(type(exc).__name__)\n"
    )
    with workers(stage, "d", concurrency=1):
        out = manage(stage, "shell", "--no-imports", "--command", send)
    assert out.splitlines() == ["['t03-0', 't03-1', 't03-2', 't03-3']", "NoTenant"]
