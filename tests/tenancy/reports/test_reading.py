"""A report's connection: it cannot write, it sees one snapshot, and it goes to the replica."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace

import pytest
from django.db import DatabaseError, connections

from catalog.models import Category
from tenancy.connections import maintenance, reading
from tenancy.context import carry, tenant_context
from tenancy.exceptions import DatabaseUnavailable, NoTenant, ReadingInTransaction, WrongTenant
from tenancy.pool import pool
from tenancy.registry import get_registry
from tenancy.testing import changed_tenant, databases, twins
from tenancy.transactions import atomic_on
from tests.tenancy.reports.fleet import fleet

pytestmark = databases("acme", "globex", transaction=True)


@pytest.fixture
def acme():
    twins(Category, ["acme", "globex"], name=lambda tenant_id: f"canary-{tenant_id}")
    return get_registry().get("acme")


def elsewhere(function):
    """In another thread, with a connection of its own, for the same tenant."""
    thread = threading.Thread(target=carry(function))
    thread.start()
    thread.join()


def test_it_cannot_write_in_or_out_of_a_transaction(acme):
    with tenant_context(acme), reading(acme, limit=5):
        with pytest.raises(DatabaseError):
            Category.objects.create(name="new")
        with pytest.raises(DatabaseError), atomic_on("acme"):
            Category.objects.update(name="new")
    with tenant_context(acme):
        assert Category.objects.get().name == "canary-acme"
        Category.objects.create(name="after")


def test_a_transaction_sees_one_snapshot(acme):
    with tenant_context(acme):
        with reading(acme, limit=5, snapshot=True):
            before = Category.objects.count()
            elsewhere(lambda: Category.objects.create(name="meanwhile"))
            assert Category.objects.count() == before
        assert Category.objects.count() == before + 1


def test_a_transaction_inside_a_snapshot_is_a_part_of_it(acme):
    with tenant_context(acme), reading(acme, limit=5, snapshot=True):
        with atomic_on("acme"), atomic_on("acme"):
            assert Category.objects.count() == 1
        elsewhere(lambda: Category.objects.create(name="meanwhile"))
        with contextlib.suppress(KeyError), atomic_on("acme"):
            raise KeyError
        assert Category.objects.count() == 1
        with pytest.raises(DatabaseError), atomic_on("acme"):
            Category.objects.create(name="new")
        assert Category.objects.count() == 1  # what failed is undone, to the savepoint before it


def test_it_is_for_the_tenant_in_context(acme):
    with pytest.raises(NoTenant), reading(acme, limit=5):
        pass
    with tenant_context("globex"), pytest.raises(WrongTenant), reading(acme, limit=5):
        pass


def test_what_is_in_a_transaction_or_in_maintenance_reads_nothing(acme):
    with tenant_context(acme):
        with atomic_on("acme"), pytest.raises(ReadingInTransaction), reading(acme, limit=5, snapshot=True):
            pass
        with maintenance("acme"), pytest.raises(ReadingInTransaction), reading(acme, limit=5):
            pass


def test_a_connection_that_is_closed_inside_harms_nobody_after(acme):
    with tenant_context(acme):
        with reading(acme, limit=5, snapshot=True) as connection:
            assert Category.objects.count() == 1
            connection.close()
        assert Category.objects.count() == 1
        with atomic_on("acme"):
            Category.objects.create(name="after")


def test_without_it_a_transaction_sees_what_others_commit(acme):
    """The negative control, where the engine does not give a snapshot anyway."""
    if connections["acme"].vendor == "sqlite":
        with tenant_context(acme), atomic_on("acme"), connections["acme"].cursor() as cursor:
            # An ordinary transaction is one that writes, which others would have to wait for.
            cursor.execute("UPDATE catalog_category SET name = name")
        return
    with tenant_context(acme), atomic_on("acme"):
        before = Category.objects.count()
        elsewhere(lambda: Category.objects.create(name="meanwhile"))
        assert Category.objects.count() == before + 1


def test_writers_do_not_wait_for_it(acme):
    with tenant_context(acme), reading(acme, limit=5, snapshot=True):
        assert Category.objects.count() == 1
        started = time.monotonic()
        elsewhere(lambda: Category.objects.create(name="meanwhile"))
        assert time.monotonic() - started < 1.5  # SQLite's writers wait for two seconds


def test_nothing_of_it_stays(acme):
    with tenant_context(acme):
        with reading(acme, limit=5):
            assert Category.objects.count() == 1
            assert pool.open_connections("acme") == 1
        assert pool.open_connections("acme") == 0
        assert Category.objects.count() == 1
        connection = connections["acme"]
        assert (connection.reading, connection.read_only) == (None, False)


def test_a_statement_may_take_its_limit_and_no_longer(acme):
    if connections["acme"].vendor == "sqlite":
        return  # it has no such limit: a run breaks the statement off, see test_job
    with tenant_context(acme), reading(acme, limit=0.3), connections["acme"].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("300ms",)
        with pytest.raises(DatabaseError, match="statement timeout"):
            cursor.execute("SELECT pg_sleep(5)")
    with tenant_context(acme), reading(acme, limit=60), connections["acme"].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1min",)


def replica_of(tenant, other):
    """An entry whose replica is another's database, with the right stamp in it: a replica shows the stamp of
    what it is a copy of."""
    return changed_tenant(tenant, replica=dict(get_registry().get(other).database))


def test_it_asks_the_replica_and_a_replica_shows_the_stamp(acme):
    with replica_of("acme", "globex") as changed, tenant_context(changed):
        with reading(changed, limit=5), pytest.raises(DatabaseError, match="stamp"):
            Category.objects.count()
        with reading(changed, limit=5, from_replica=False):
            assert Category.objects.get().name == "canary-acme"


def test_it_reads_what_the_replica_has(acme, tmp_path, django_db_blocker):
    with fleet(["acme", "initech"], tmp_path, django_db_blocker) as source:
        tenants = {tenant.id: tenant for tenant in source.current}
        with tenant_context("initech"):
            Category.objects.create(name="only-in-the-copy")
            with connections["initech"].cursor() as cursor:
                cursor.execute("UPDATE tenancy_stamp SET tenant_id = 'acme'")
        changed = replace(tenants["acme"], replica=dict(tenants["initech"].database))
        source.change({**tenants, "acme": changed})
        with tenant_context(changed):
            with reading(changed, limit=5):
                assert sorted(Category.objects.values_list("name", flat=True)) == [
                    "canary-acme",
                    "only-in-the-copy",
                ]
            assert Category.objects.get().name == "canary-acme"


def test_a_replica_that_is_away_is_not_replaced_by_the_database(acme):
    away = {**acme.database, "NAME": "/dev/null/no_such_database"}
    with (
        changed_tenant("acme", replica=away) as changed,
        tenant_context(changed),
        reading(changed, limit=5),
        pytest.raises(DatabaseUnavailable),
    ):
        Category.objects.count()
