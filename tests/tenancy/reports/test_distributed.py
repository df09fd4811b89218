"""The same report on Celery's workers. With a real broker, and workers that are killed: tests/system."""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from unittest import mock

import pytest
from celery import Celery, current_app
from django.test import override_settings
from redis.exceptions import RedisError

from catalog.models import Category, Product
from tenancy.context import tenant_context
from tenancy.exceptions import NoTenant
from tenancy.fleet import Outcome, Result
from tenancy.registry import Registry, get_registry
from tenancy.reports import distributed, tasks
from tenancy.reports.answer import Answer
from tenancy.reports.message import pack, unpack
from tenancy.reports.report import get_report
from tenancy.reports.totals import Totals
from tenancy.tenant import Status, Tenant
from tenancy.testing import changed_tenant, databases, only_tenants, repointed
from tests.tenancy.command import report
from tests.tenancy.worker import answer_to, closing, make_app, worker

TENANTS = ["acme", "globex", "initech"]

pytestmark = databases("control", *TENANTS, transaction=True)


@pytest.fixture
def goods():
    for number, tenant_id in enumerate(TENANTS):
        with tenant_context(tenant_id):
            category = Category.objects.create(name="Things")
            for currency in ("EUR", "USD"):
                Product.objects.create(
                    sku=currency,
                    name=currency,
                    category=category,
                    price=Decimal("0.10") + number,
                    currency=currency,
                    stock=number + 1,
                )


@pytest.fixture(scope="module")
def running():
    app = make_app()
    app.finalize(auto=True)  # with what shared_task declared
    with worker(app):
        yield app


@contextmanager
def in_use(app):
    before = current_app._get_current_object()
    app.set_current()
    with (
        override_settings(CELERY_BROKER_URL="memory://"),
        mock.patch.object(distributed, "GREETING", 1.0),
    ):
        yield app
    before.set_current()


@pytest.fixture
def at_work(running):
    # There is one worker: who has its answer need not wait for another's.
    ping = partial(running.control.ping, limit=1)
    with in_use(running), closing(running), mock.patch.object(running.control, "ping", ping):
        yield running


def document(*arguments):
    code, out, _ = report(*arguments, "--format", "json")
    found = json.loads(out)
    for tenant in found["tenants"]:
        del tenant["seconds"]
    del found["started"]
    return code, found


@pytest.mark.parametrize("name", ["inventory", "prices", "restock"])
def test_it_finds_what_threads_find(at_work, goods, name):
    here = document(name)
    assert document(name, "--celery", "--chunk", "2") == here
    assert here[1]["complete"] is True
    assert here[1]["totals"]


def test_absent_tenants_are_the_same_ones(at_work, goods):
    with (
        repointed("globex", NAME="/dev/null/no_such_database"),
        changed_tenant("initech", status=Status.SUSPENDED),
    ):
        here = document("inventory", "--retries", "0")
        assert document("inventory", "--celery", "--chunk", "1", "--retries", "0") == here
    code, found = here
    assert code == 1
    assert [tenant["result"] for tenant in found["tenants"]] == ["ok", "unreachable", "skipped"]


def test_parameters_are_checked_here_and_there(at_work, goods):
    _, found = document("restock", "--celery", "--param", "below=2")
    assert {row["stock"] for tenant in found["tenants"] for row in tenant["rows"]} == {1}


def test_every_message_names_its_tenants_in_its_header(at_work, goods, monkeypatch):
    sent = []
    send = at_work.send_task
    monkeypatch.setattr(
        at_work, "send_task", lambda *args, **options: sent.append(options) or send(*args, **options)
    )
    document("inventory", "--celery", "--chunk", "2")
    assert [options["headers"]["tenant_ids"] for options in sent] == [["acme", "globex"], ["initech"]]


def test_a_message_without_the_header_is_refused(at_work):
    result = at_work.send_task(
        tasks.NAME, kwargs={"report": "inventory", "given": {}, "question": {}, "job": {}}
    )
    with pytest.raises(NoTenant):
        answer_to(result)


def test_nobody_there_is_told(goods):
    app = make_app()
    app.control.ping = lambda **_: []  # the broker in memory is everybody's
    with in_use(app), pytest.raises(distributed.NoWorker, match="No worker answers at the broker"):
        report("inventory", "--celery")


def test_a_worker_with_another_tenants_yaml_is_a_failure(at_work, goods, monkeypatch):
    with only_tenants("acme"):
        theirs = get_registry()
    monkeypatch.setattr(tasks, "get_registry", lambda: theirs)
    code, found = document("inventory", "--celery")
    assert code == 1
    assert [tenant["result"] for tenant in found["tenants"]] == ["ok", "failed", "failed"]
    assert found["tenants"][1]["error"] == tasks.GONE


def test_one_that_comes_during_the_run_is_named(at_work, goods, monkeypatch):
    registry, came = get_registry(), []
    monkeypatch.setattr(distributed.live, "refresh", lambda: came.append(True))
    more = Registry({tenant.id: tenant for tenant in registry} | {"newone": Tenant("newone", "New")})
    monkeypatch.setattr("tenancy.reports.job.get_registry", lambda: more if came else registry)
    code, found = document("inventory", "--celery")
    assert (code, found["complete"]) == (0, False)
    assert found["coverage"]["absent"][0]["error"] == "added to tenants.yaml during the run"


def test_a_slow_worker_that_lives_is_waited_for(at_work, goods, monkeypatch):
    """It says that it has begun, and answers pings: no copy is sent."""
    monkeypatch.setattr(distributed, "LEAST_PATIENCE", 0.1)
    monkeypatch.setattr(distributed, "PATIENCE", 0.0)
    monkeypatch.setattr(distributed.DistributedJob, "_worker_of", staticmethod(lambda chunk: "w@here"))
    monkeypatch.setattr(at_work.control, "ping", lambda **_: [{"w@here": {"ok": "pong"}}])
    sent = []
    send = at_work.send_task
    monkeypatch.setattr(
        at_work, "send_task", lambda *args, **options: sent.append(args) or send(*args, **options)
    )
    answered = distributed.DistributedJob._is_answered
    until = time.monotonic() + 1.5
    monkeypatch.setattr(
        distributed.DistributedJob,
        "_is_answered",
        staticmethod(lambda chunk: time.monotonic() > until and answered(chunk)),
    )
    code, _ = document("inventory", "--celery")
    assert (code, len(sent)) == (0, 1)


def test_a_broker_that_goes_away_loses_nothing_that_has_come(at_work, goods, monkeypatch):
    looked, answered = [], []

    def look(chunk):
        looked.append(chunk)
        if answered and len(looked) > 20:
            raise RedisError("redis://:hunter2@…")
        if looked[0] is chunk and chunk.results[0].ready():
            answered.append(chunk)
        return bool(answered) and chunk is answered[0]

    monkeypatch.setattr(distributed.DistributedJob, "_is_answered", staticmethod(look))
    code, found = document("inventory", "--celery", "--chunk", "1")
    assert code == 1
    assert [tenant["result"] for tenant in found["tenants"]] == ["ok", "failed", "failed"]
    assert found["tenants"][1]["error"] == "Celery's broker, or its store of results, went away (RedisError)"


def test_when_all_workers_die_it_ends(at_work, goods, monkeypatch):
    """They greeted, and are gone with their messages."""
    monkeypatch.setattr(distributed, "SILENCE", 0.5)
    monkeypatch.setattr(distributed, "LEAST_PATIENCE", 0.2)
    send, greetings = at_work.send_task, [[{"a worker": "pong"}]]

    def lose(name, *args, **options):
        return send(name, *args, **({"queue": "nobody"} if name == tasks.NAME else {}), **options)

    monkeypatch.setattr(at_work, "send_task", lose)
    monkeypatch.setattr(at_work.control, "ping", lambda **_: greetings.pop() if greetings else [])
    code, found = document("inventory", "--celery", "--chunk", "1")
    assert code == 1
    assert {tenant["error"] for tenant in found["tenants"]} == {"no worker is there any more"}


def test_a_chunk_that_fails_is_of_absent_tenants(at_work, goods, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyError("secret")

    monkeypatch.setattr(tasks, "Job", fail)
    code, found = document("inventory", "--celery", "--chunk", "2")
    assert code == 1
    assert {tenant["result"] for tenant in found["tenants"]} == {"failed"}


def test_one_whose_worker_died_is_sent_again_and_counted_once(at_work, goods, monkeypatch):
    """Nobody ever hears of the first message, as of one that a worker died with."""
    monkeypatch.setattr(distributed, "LEAST_PATIENCE", 0.3)
    sent = []
    send = at_work.send_task

    def lose_the_first(name, *args, **options):
        if name != tasks.NAME:
            return send(name, *args, **options)
        sent.append(options["headers"]["tenant_ids"])
        return send(name, *args, queue="nobody" if len(sent) == 1 else None, **options)

    monkeypatch.setattr(at_work, "send_task", lose_the_first)
    here = document("inventory")
    assert document("inventory", "--celery") == here
    assert sent in ([TENANTS] * 2, [TENANTS] * 3)  # a slow machine sends it a third time


def test_of_two_answers_one_is_taken(at_work, goods, monkeypatch):
    """It was sent again too soon: both are answered."""
    monkeypatch.setattr(distributed, "LEAST_PATIENCE", 0.0)
    monkeypatch.setattr(distributed, "PATIENCE", 0.0)
    monkeypatch.setattr(distributed.DistributedJob, "_is_answered", staticmethod(_when_all_have))
    here = document("inventory")
    assert document("inventory", "--celery", "--chunk", "1") == here


def _when_all_have(chunk):
    return len(chunk.results) == distributed.TRIES and all(result.ready() for result in chunk.results)


def test_what_nobody_answers_ends(at_work, goods, monkeypatch):
    monkeypatch.setattr(distributed.DistributedJob, "deadline", 1.0)
    monkeypatch.setattr(distributed, "LEAST_PATIENCE", 0.2)
    send = at_work.send_task

    def lose(name, *args, **options):
        return send(name, *args, **({"queue": "nobody"} if name == tasks.NAME else {}), **options)

    monkeypatch.setattr(at_work, "send_task", lose)
    code, found = document("inventory", "--celery")
    assert code == 1
    assert {tenant["error"] for tenant in found["tenants"]} == {"no worker answered within 1 s"}


def test_a_scheduled_report_is_written_and_says_who_is_missing(at_work, goods, tmp_path):
    """And its worker lives: the command would exit."""
    file = tmp_path / "restock.csv"
    sent = at_work.send_task(
        "tenancy.reports.run", args=["restock", str(file)], kwargs={"parameters": {"below": 2}}
    )
    answer_to(sent)
    assert {line.split(",")[0] for line in file.read_text().splitlines()[1:]} == {"acme"}
    with repointed("globex", NAME="/dev/null/no_such_database"):
        sent = at_work.send_task(
            "tenancy.reports.run", args=["inventory", str(file)], kwargs={"retries": 0, "totals": True}
        )
        with pytest.raises(Exception, match=r"(?s)2 of 3 tenants answered.*unreachable: globex"):
            answer_to(sent)
    assert file.read_text().splitlines()[1].endswith(",2,3,3")
    assert at_work.control.ping(timeout=1)


def test_without_a_broker_it_is_told():
    with pytest.raises(Exception, match="--celery needs CELERY_BROKER_URL"):
        report("inventory", "--celery")


def test_a_message_carries_every_value_exactly():
    declared = get_report("restock")
    rows = [
        declared._row(
            {
                "currency": None,
                "reason": "low",
                "sku": ["a", "b"],
                "name": "ü",
                "stock": 10**20,
                "value": Decimal("0.10"),
                "updated_at": "2026-11-26T12:00:00.000001+02:00",
            }
        )
    ]
    totals = Totals(declared)
    totals.add(rows)
    outcome = Outcome(Tenant("acme", "Acme"), Result.OK, 0.25, Answer(rows, totals))
    there = unpack(declared, outcome.tenant, json.loads(json.dumps(pack(declared, outcome))))
    assert there.value.rows == rows
    assert there.value.totals.rows() == totals.rows()
    assert (there.result, there.seconds) == (Result.OK, 0.25)
    away = Outcome(outcome.tenant, Result.BUSY, error="E")
    assert unpack(declared, outcome.tenant, json.loads(json.dumps(pack(declared, away)))) == away
    with pytest.raises(ValueError, match="another tenant"):
        unpack(declared, Tenant("globex", "G"), pack(declared, outcome))
    others = dataclasses.replace(declared, columns=declared.columns[::-1])
    with pytest.raises(ValueError, match="another version of the report"):
        unpack(others, outcome.tenant, pack(declared, outcome))


def test_a_worker_of_another_version_has_not_answered(at_work, goods, monkeypatch):
    original = tasks.pack
    monkeypatch.setattr(tasks, "pack", lambda declared, outcome: original(get_report("prices"), outcome))
    code, found = document("inventory", "--celery")
    assert code == 1
    assert {tenant["result"] for tenant in found["tenants"]} == {"failed"}
    assert "another version of the report" in found["tenants"][0]["error"]


def test_a_broker_that_is_away_is_told_without_its_url(goods):
    app = Celery("away", broker="redis://:hunter2@127.0.0.1:1/0", backend="redis://:hunter2@127.0.0.1:1/0")
    app.conf.broker_transport_options = {"max_retries": 0}
    with in_use(app), pytest.raises(distributed.BrokerUnavailable) as caught:
        report("inventory", "--celery")
    assert "hunter2" not in str(caught.value)
    assert "Check CELERY_BROKER_URL" in str(caught.value)
