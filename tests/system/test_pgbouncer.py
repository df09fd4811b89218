"""Tenants behind a pooler that gives its sessions to transactions, not to clients."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.test import override_settings

from catalog.models import Category
from tenancy.backends.faults import Fault, classify
from tenancy.context import tenant_context
from tenancy.exceptions import DatabaseUnavailable
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Status
from tenancy.testing import databases, twins
from tenancy.transactions import tenant_atomic
from tests.system import pgbouncer

TENANTS = ("acme", "globex", "initech")


@pytest.fixture
def pooler(tmp_path):
    facts = [connections.settings[alias] for alias in TENANTS]
    names = [one["NAME"] for one in facts]
    # A schema in a shared database is pinned where the pooler cannot lose it: to the role, in that database.
    with connections["initech"].cursor() as cursor:
        cursor.execute(f'ALTER ROLE postgres IN DATABASE "{facts[2]["NAME"]}" SET search_path = initech')
    connections["initech"].close()
    port = int(facts[0]["PORT"] or 5432)
    with pgbouncer.running(tmp_path, facts[0]["HOST"], names, port) as own_port:
        yield own_port


@contextmanager
def behind(port, *, direct=True, **changes):
    """The tenants as tenants.yaml would have them: ``url`` is the pooler's, ``direct_url`` the server's."""
    tenants = {}
    for tenant in get_registry():
        url = {**tenant.database, "HOST": "127.0.0.1", "PORT": str(port)}
        past = dict(tenant.database) if direct else None
        tenants[tenant.id] = replace(tenant, database=url, direct=past, **changes)
    with override_settings(TENANCY_REGISTRY=Registry(tenants)):
        yield


def in_new_thread(function, *args):
    results = []

    def run():
        try:
            results.append(function(*args))
        except Exception as exc:  # noqa: BLE001  # whatever it is, the test looks at it
            results.append(exc)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


def session():
    """The process of the session that answers."""
    with connections["acme"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@databases("control", *TENANTS, transaction=True)
def test_each_tenant_reads_and_writes_its_own_rows(pooler):
    twins(Category, TENANTS, name=lambda tenant_id: f"of {tenant_id}")

    def work(alias):
        with tenant_context(alias):
            with tenant_atomic():
                Category.objects.update(description="seen")
            return [(one.name, one.description) for one in Category.objects.all()]

    with behind(pooler):
        for alias in TENANTS:
            assert in_new_thread(work, alias) == [(f"of {alias}", "seen")]


@databases("control", *TENANTS, transaction=True)
def test_a_pooler_that_is_not_told_of_is_not_used(pooler):
    """The negative control: a pooler refuses what we ask of a session at its start. Nobody is served half."""

    def work():
        with tenant_context("acme"):
            Category.objects.count()

    with behind(pooler, direct=False), pytest.raises(DatabaseUnavailable):
        in_new_thread(work)


@databases("control", *TENANTS, transaction=True)
def test_more_clients_than_sessions_never_meet(pooler):
    twins(Category, TENANTS, name=lambda tenant_id: f"of {tenant_id}")
    wrong, served = [], []

    def work(number):
        for step in range(30):
            alias = TENANTS[(number + step) % 3]
            with tenant_context(alias), tenant_atomic():
                found = [one.name for one in Category.objects.all()]
                (served if found == [f"of {alias}"] else wrong).append(found)

    with behind(pooler), override_settings(TENANCY_POOL_WAIT=5):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert wrong == []
    assert len(served) == 240


@databases("control", *TENANTS, transaction=True)
def test_rows_in_chunks_need_no_session(pooler):
    with tenant_context("acme"):
        Category.objects.bulk_create(Category(name=f"number {number:03}") for number in range(50))

    def work():
        with tenant_context("acme"):
            seen = []
            for one in Category.objects.order_by("name").iterator(chunk_size=10):
                session()  # another transaction, which may get another session
                seen.append(one.name)
            return seen

    with behind(pooler):
        assert in_new_thread(work) == [f"number {number:03}" for number in range(50)]


@databases("control", *TENANTS, transaction=True)
def test_nothing_is_set_for_a_session_that_others_will_use(pooler):
    def work():
        with tenant_context("acme"):
            Category.objects.count()
            with tenant_atomic():
                Category.objects.create(name="any")
        with connections["acme"].cursor() as cursor:
            cursor.execute(
                "SELECT name FROM pg_settings WHERE source IN ('session', 'client') "
                "AND name NOT IN ('application_name', 'client_encoding', 'TimeZone', 'DateStyle')"
            )
            return [name for (name,) in cursor.fetchall()]

    with behind(pooler):
        assert in_new_thread(work) == []


@databases("control", *TENANTS, transaction=True)
def test_a_read_only_tenant_is_read_and_not_written(pooler):
    twins(Category, ["acme"], name="before")

    def work():
        with tenant_context("acme"):
            with pytest.raises(DatabaseError) as raised:
                Category.objects.update(name="after")
            assert classify(raised.value) is Fault.READ_ONLY
            return Category.objects.get().name

    with behind(pooler, status=Status.READ_ONLY):
        assert in_new_thread(work) == "before"


@databases("control", *TENANTS, transaction=True)
def test_migrate_goes_past_it():
    with behind(1):  # nobody listens there
        in_new_thread(lambda: call_command("migrate", database="acme", verbosity=0))

        def work():
            with tenant_context("acme"):
                Category.objects.count()

        with pytest.raises(DatabaseUnavailable):
            in_new_thread(work)
