"""A cursor, a transaction or an iterator that is kept over a change of context is dead."""

from __future__ import annotations

import io

import pytest
from django.db import connections, transaction

from catalog.models import Product
from tenancy.backends.wrapper import TenancyWrapper
from tenancy.context import request_scope, tenant_context
from tenancy.exceptions import NoTenant, WrongTenant
from tenancy.testing import databases

pytestmark = databases("control", "acme", "globex")

SELECT = "SELECT name FROM catalog_product"

USES = {
    "execute": lambda cursor: cursor.execute(SELECT),
    "execute with parameters": lambda cursor: cursor.execute(f"{SELECT} WHERE sku = %s", ["A-1"]),
    "executemany": lambda cursor: cursor.executemany("DELETE FROM catalog_product WHERE sku = %s", [["A-1"]]),
    "callproc": lambda cursor: cursor.callproc("version"),
    "fetchone": lambda cursor: cursor.fetchone(),
    "fetchmany": lambda cursor: cursor.fetchmany(1),
    "fetchall": lambda cursor: cursor.fetchall(),
    "iterate": list,
}


@pytest.fixture(params=["plain", "debug"])
def acme_cursor(request, twin_products):
    """A cursor of acme, opened in acme's context and left with a result to fetch."""
    twin_products()
    connection = connections["acme"]
    connection.force_debug_cursor = request.param == "debug"
    with tenant_context("acme"):
        cursor = connection.cursor()
        cursor.execute(SELECT)
    yield cursor
    cursor.close()
    connection.force_debug_cursor = False


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_kept_cursor_is_dead_in_another_tenants_context(acme_cursor, use):
    with tenant_context("globex"), pytest.raises(WrongTenant):
        use(acme_cursor)
    with tenant_context("acme"):
        assert Product.objects.get().name == "canary-acme"


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_kept_cursor_is_dead_in_a_request_without_a_tenant(acme_cursor, use):
    with request_scope(), pytest.raises(NoTenant):
        use(acme_cursor)


def test_a_kept_cursor_works_in_its_own_context(acme_cursor):
    with tenant_context("acme"):
        assert list(acme_cursor) == [("canary-acme",)]


def test_iterating_stops_at_the_row_where_the_context_changes(twin_products):
    with tenant_context("acme"):
        cursor = connections["acme"].cursor()
        cursor.execute("SELECT 1 UNION SELECT 2")
        rows = iter(cursor)
        next(rows)
    with tenant_context("globex"), pytest.raises(WrongTenant):
        next(rows)
    cursor.close()


def test_a_queryset_iterator_is_dead_in_another_tenants_context(twin_products):
    twin_products()
    with tenant_context("acme"):
        category = Product.objects.get().category_id
        Product.objects.create(sku="A-2", name="second", category_id=category, price=1, currency="EUR")
        rows = Product.objects.order_by("sku").iterator(chunk_size=1)
        assert next(rows).name == "canary-acme"
    with tenant_context("globex"), pytest.raises(WrongTenant):
        list(rows)


@databases("acme", "globex", transaction=True)
def test_a_transaction_is_not_committed_in_another_tenants_context(twin_products):
    twin_products()
    block = transaction.atomic(using="acme")
    with tenant_context("acme"):
        block.__enter__()
        Product.objects.update(name="changed")
    with tenant_context("globex"), pytest.raises(WrongTenant):
        block.__exit__(None, None, None)
    with tenant_context("acme"):
        assert Product.objects.get().name == "canary-acme"
        assert not connections["acme"].in_atomic_block
        assert connections["acme"].get_autocommit()


def test_a_savepoint_is_not_released_in_another_tenants_context(twin_products):
    twin_products()
    with tenant_context("acme"):
        savepoint = transaction.savepoint(using="acme")
    with tenant_context("globex"):
        with pytest.raises(WrongTenant):
            transaction.savepoint_commit(savepoint, using="acme")
        # Undoing is allowed to everybody.
        transaction.savepoint_rollback(savepoint, using="acme")


def test_an_error_on_the_way_out_of_a_block_is_not_hidden(twin_products):
    twin_products()
    block = transaction.atomic(using="acme")
    with tenant_context("acme"):
        block.__enter__()
        Product.objects.update(name="changed")
    with tenant_context("globex"):
        block.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    with tenant_context("acme"):
        assert Product.objects.get().name == "canary-acme"


def test_a_cursor_opened_by_hand_shakes_hands_when_it_is_used_in_a_context(monkeypatch):
    connection = connections["acme"]
    connection.ensure_connection()
    monkeypatch.setattr(connection, "proven", "")
    with connection.cursor() as cursor:
        assert not connection.admitted
        with tenant_context("acme"):
            cursor.execute(SELECT)
        assert connection.admitted


def test_without_the_guard_a_kept_cursor_reads_another_tenants_rows(acme_cursor, monkeypatch):
    """The negative control: what the tests above would miss if the guard were only at the opening."""
    monkeypatch.setattr(TenancyWrapper, "require_admission", lambda _: None)
    with tenant_context("globex"):
        acme_cursor.execute(SELECT)
        assert acme_cursor.fetchall() == [("canary-acme",)]


def test_another_tenants_connection_begins_nothing_and_is_not_opened_to_end_something():
    connection = connections["acme"]
    with tenant_context("globex"), pytest.raises(WrongTenant):
        connection.set_autocommit(False)


@databases("acme", "globex", transaction=True)
def test_a_closed_connection_stays_closed_when_a_transaction_is_ended_in_another_context():
    connection = connections["acme"]
    connection.close()
    with tenant_context("globex"):
        connection.set_autocommit(True)
    assert connection.connection is None


def test_a_kept_cursor_is_dead_by_whatever_way_the_driver_has(acme_cursor):
    is_sqlite = connections["acme"].vendor == "sqlite"
    with tenant_context("acme"):
        if is_sqlite:  # not called here: it would commit the test's transaction
            name, arguments = "executescript", ("DELETE FROM catalog_product",)
        else:
            name, arguments = "copy_expert", ("COPY (SELECT 1) TO STDOUT", io.StringIO())
            acme_cursor.copy_expert(*arguments)
        kept = getattr(acme_cursor, name)
    with tenant_context("globex"):
        for call in (kept, getattr(acme_cursor, name)):
            with pytest.raises(WrongTenant):
                call(*arguments)
    with tenant_context("acme"):
        assert Product.objects.count() == 1
