"""A report over fifty tenants of which some are not well, and some come and go."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest
from django import forms
from django.core.management import call_command
from django.db import connections
from django.db.models import F

from catalog.models import Category, Product
from tenancy.context import current_tenant, require_tenant, tenant_context
from tenancy.exceptions import DatabaseBusy
from tenancy.fleet import Result, each_tenant
from tenancy.pool import pool
from tenancy.registry import get_registry
from tenancy.reports.answer import Question
from tenancy.reports.collected import collecting
from tenancy.reports.columns import Column
from tenancy.reports.job import Job, with_newcomers
from tenancy.reports.merges import Sum
from tenancy.reports.report import SQL, Report
from tenancy.selection import Selection
from tenancy.tenant import Status, Tenant
from tenancy.testing import databases
from tests.tenancy.reports.fleet import fleet

pytestmark = databases("control", "acme", transaction=True)

EVERYBODY = Selection(everybody=True)
COLUMNS = (Column("currency", key=True), Column("pieces", int, Sum()), Column("value", Decimal, Sum()))


def rows():
    return Product.objects.values("currency", pieces=F("stock"), value=F("price") * F("stock"))


def stock(tenant, number):
    """The same keys for everybody, other amounts."""
    with tenant_context(tenant):
        category = Category.objects.create(pk="00000000-0000-0000-0000-000000000001", name=tenant.id)
        for place, currency in enumerate(("EUR", "USD")):
            Product.objects.create(
                pk=f"00000000-0000-0000-0000-00000000000{place + 2}",
                sku=f"A-{place}",
                name=tenant.id,
                category=category,
                price=Decimal(number) + Decimal("0.10"),
                currency=currency,
                stock=number + place,
            )
        connections[tenant.id].close()


def ask(function, source, *, selection=EVERYBODY, jobs=8, **options):
    report = Report("r", COLUMNS, function)
    job = Job(Question(report, {}), selection.of(source.current), jobs=jobs, **options)
    return collecting(report, {}, with_newcomers(job.outcomes(), selection), source.current.ids)


def slow():
    """A statement that does not end by itself."""
    if connections[require_tenant().id].vendor == "sqlite":
        return SQL(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT 'EUR' AS currency, i AS pieces, 1.0 AS value FROM n WHERE i < 0"
        )
    return SQL("SELECT 'EUR' AS currency, 1 AS pieces, 1.0 AS value FROM pg_sleep(60)")


@pytest.fixture
def source(request, tmp_path, django_db_blocker):
    """As many as the test says, or fifty."""
    ids = [f"t{number:02d}" for number in range(getattr(request, "param", 50))]
    connections.close_all()  # what this thread has from tests before would be counted
    with fleet(ids, tmp_path, django_db_blocker) as source:
        for number, tenant in enumerate(source.current):
            stock(tenant, number)
        yield source


def test_fifty_of_which_some_are_absent(source):
    """One raises, one sleeps, one is not migrated, one is suspended, one is away, one comes and one goes."""
    tenants = {tenant.id: tenant for tenant in source.current}
    call_command("migrate", "catalog", "zero", database="t20", verbosity=0)
    connections["t20"].close()
    tenants["t30"] = replace(tenants["t30"], status=Status.SUSPENDED)
    nowhere = {**tenants["t35"].database, "NAME": "/dev/null/no_such_database"}
    tenants["t35"] = replace(tenants["t35"], database=nowhere)
    source.change(tenants)
    asked = tuple(source.current)
    most: list[int] = []
    begun = threading.Event()

    def function():
        tenant = require_tenant()
        most.append(pool.open_connections() - pool.open_connections("control"))
        if not begun.is_set():
            begun.set()
            left = {name: each for name, each in tenants.items() if name != "t49"}
            source.change({**left, "t50": Tenant("t50", "New", database=tenants["t01"].database)})
        if tenant.id == "t05":
            raise KeyError("secret")
        return slow() if tenant.id == "t10" else rows()

    started = time.monotonic()
    report = Report("r", COLUMNS, function)
    job = Job(Question(report, {}), asked, jobs=8, timeout=3.0, retries=1)
    outcomes = with_newcomers(job.outcomes(), EVERYBODY)
    with collecting(report, {}, outcomes, [tenant.id for tenant in asked]) as found:
        coverage = found.coverage
        seconds = time.monotonic() - started
        absent = {outcome.tenant.id: (outcome.result, outcome.error) for outcome in coverage.absent}
        assert {name: result for name, (result, _) in absent.items()} == {
            "t05": Result.FAILED,
            "t10": Result.TIMED_OUT,
            "t20": Result.BEHIND,
            "t30": Result.SKIPPED,
            "t35": Result.UNREACHABLE,
            "t49": Result.SKIPPED,
            "t50": Result.SKIPPED,
        }
        assert absent["t10"][1].startswith("took longer than 3 s")
        assert absent["t30"][1] == "suspended"
        assert absent["t49"][1] == "removed from tenants.yaml during the run"
        assert absent["t50"][1] == "added to tenants.yaml during the run"
        assert (coverage.tenants, coverage.asked, coverage.answered) == (51, 48, 44)
        assert (coverage.is_complete, coverage.is_well) == (False, False)
        # Every number is the sum of the tenants' own, asked again one by one.
        own: dict[str, list[tuple[int, Decimal]]] = {"EUR": [], "USD": []}
        answered = [tenant for tenant in asked if tenant.id not in absent]
        assert len(answered) == 44
        for tenant in answered:
            with tenant_context(tenant):
                for product in Product.objects.all():
                    own[product.currency].append((product.stock, product.price * product.stock))
                connections[tenant.id].close()
        assert found.totals.rows() == [
            (currency, sum(pieces for pieces, _ in pairs), sum(value for _, value in pairs))
            for currency, pairs in sorted(own.items())
        ]
        listed = [(name, row[0], row[1]) for name, row in found.rows()]
        assert listed == [
            (tenant.id, currency, int(tenant.id[1:]) + place)
            for tenant in answered
            for place, currency in enumerate(("EUR", "USD"))
        ]
    assert current_tenant() is None
    assert max(most) <= 8
    assert pool.open_connections() == pool.open_connections("control")
    assert (
        seconds < 20
    )  # the slow one's limit, the pause before those away are tried again, and a slow machine


@pytest.mark.parametrize("source", [12], indirect=True)
def test_the_count_of_connections_can_fail(source):
    """The negative control: with twenty jobs there are more than eight."""
    most: list[int] = []
    together = threading.Barrier(12)

    def function():
        list(rows())
        together.wait(timeout=20)
        most.append(pool.open_connections() - pool.open_connections("control"))
        return []

    with ask(function, source, jobs=12, selection=Selection([f"t{number:02d}" for number in range(12)])):
        assert max(most) == 12


@pytest.mark.parametrize("source", [10], indirect=True)
def test_what_fails_for_a_moment_is_tried_again(source, monkeypatch):
    monkeypatch.setattr("tenancy.reports.job.PAUSE", 0.1)
    tried: dict[str, int] = {}

    def function():
        name = require_tenant().id
        tried[name] = tried.get(name, 0) + 1
        if name == "t03" and tried[name] < 3:
            raise DatabaseBusy(name)
        return rows()

    with ask(function, source, selection=Selection(["t0*"]), retries=2) as found:
        assert found.coverage.is_complete
        assert found.spool.count("t03") == 2
    assert tried.pop("t03") == 3
    assert set(tried.values()) == {1}
    tried.clear()
    with ask(function, source, selection=Selection(["t0*"]), retries=1) as found:
        assert found.coverage.named(Result.BUSY) == ["t03"]


@pytest.mark.parametrize("source", [3], indirect=True)
def test_half_of_a_tenants_rows_are_none(source):
    """What fails in the middle, or has a bad row at the end, counts with nothing."""

    def function():
        yield {"currency": "EUR", "pieces": 1, "value": 1}
        if require_tenant().id == "t01":
            yield {"currency": "EUR", "pieces": "many", "value": 1}

    with ask(function, source, selection=Selection(["t00", "t01", "t02"])) as found:
        assert found.totals.rows() == [("EUR", 2, Decimal("2.00"))]
        assert [name for name, _ in found.rows()] == ["t00", "t02"]
        assert found.coverage.absent[0].error == "BadValue: column 'pieces' takes int, and got str"


@pytest.mark.parametrize("source", [3], indirect=True)
def test_a_report_cannot_write(source):
    def function():
        Category.objects.create(name="new")
        return []

    with ask(function, source, selection=Selection(["t00"])) as found:
        assert found.coverage.absent[0].result is Result.FAILED
        assert "cannot change anything" in found.coverage.absent[0].error
    with tenant_context("t00"):
        assert Category.objects.count() == 1


@pytest.mark.parametrize("source", [3], indirect=True)
def test_sql_that_names_what_no_tenant_has_is_a_fault_of_the_reports(source):
    """And not of databases that are behind."""
    with ask(lambda: SQL("SELECT * FROM nosuch"), source) as found:
        assert len(found.coverage.named(Result.FAILED)) == 3
        assert "what the report asks for is not there" in found.coverage.absent[0].error


@pytest.mark.parametrize("source", [3], indirect=True)
@pytest.mark.parametrize("end", [SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_report_ends_nothing_but_itself(source, end):
    def function():
        if require_tenant().id == "t01":
            raise end(0)
        return rows()

    with ask(function, source) as found:
        assert found.coverage.named(Result.FAILED) == ["t01"]
        assert found.coverage.answered == 2


@pytest.mark.parametrize("source", [3], indirect=True)
def test_what_one_leaves_in_a_parameter_no_other_reads(source):
    seen = []

    def function(*, names):
        seen.append(list(names))
        names.append(require_tenant().id)
        return []

    report = Report("r", COLUMNS, function, {"names": forms.JSONField()})
    job = Job(Question(report, report.clean({"names": '["x"]'})), tuple(source.current), jobs=1)
    with collecting(report, {}, job.outcomes(), source.current.ids) as found:
        assert found.coverage.is_complete
    assert seen == [["x"]] * 3


@pytest.mark.parametrize("source", [3], indirect=True)
def test_one_tenant_cannot_reach_another(source):
    def function():
        other = "t01" if require_tenant().id == "t00" else "t00"
        return Product.objects.using(other).values("currency")

    with ask(function, source, selection=Selection(["t00", "t01"])) as found:
        assert {outcome.error.partition(":")[0] for outcome in found.coverage.absent} == {"WrongTenant"}


@pytest.mark.parametrize("source", [10], indirect=True)
def test_who_was_not_selected_is_not_missed_when_it_comes(source):
    tenants = {tenant.id: tenant for tenant in source.current}

    def function():
        source.change({**tenants, "other": replace(tenants["t00"], id="other")})
        return rows()

    with ask(function, source, selection=Selection(["t0*"])) as found:
        assert found.coverage.is_complete
        assert len(found.coverage.outcomes) == 10


@pytest.mark.parametrize("source", [3], indirect=True)
def test_one_that_is_suspended_during_the_run_is_skipped(source):
    tenants = {tenant.id: tenant for tenant in source.current}

    def function():
        source.change({**tenants, "t01": replace(tenants["t01"], status=Status.SUSPENDED)})
        return rows()

    with ask(function, source, selection=Selection(["t00", "t01"]), jobs=1, timeout=None) as found:
        assert found.coverage.named(Result.SKIPPED) == ["t01"]
        assert found.coverage.is_well


@pytest.mark.parametrize("source", [3], indirect=True)
def test_a_loop_of_ones_own_gives_the_same(source):
    """The worse ways: each_tenant(), and a loop over every alias."""
    with ask(rows, source) as found:
        expected = found.totals.rows()
    sums: dict[str, list[Decimal]] = {}
    for _ in each_tenant():
        for row in rows():
            sums.setdefault(row["currency"], []).append(row["value"])
    assert [(name, sum(values)) for name, values in sorted(sums.items())] == [
        (name, value) for name, _, value in expected
    ]
    sums.clear()
    for alias in connections:
        if alias in get_registry():
            with tenant_context(alias):
                for row in rows():
                    sums.setdefault(row["currency"], []).append(row["value"])
    assert [(name, sum(values)) for name, values in sorted(sums.items())] == [
        (name, value) for name, _, value in expected
    ]
    assert pool.open_connections() <= 20
