"""`report inventory`: every tenant's numbers, their sums, and who could not be asked."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from catalog.models import Category, Product
from catalog.reports import InventoryRow, inventory, total
from tenancy.context import current_tenant, tenant_context
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, only_tenants, repointed

TENANTS = ["acme", "globex", "initech"]

#: sku, price, currency, stock. Chosen so that sums in floating point would show.
GOODS = {
    "acme": [
        ("A-1", "0.10", "EUR", 3),
        ("A-2", "0.20", "EUR", 1),
        ("A-3", "19.99", "USD", 7),
        ("A-4", "5.00", "EUR", 0),
    ],
    "globex": [("A-1", "9999999999.99", "EUR", 1_000_000), ("A-2", "1.00", "CHF", 1)],
    "initech": [],
}

everybody = databases("control", *TENANTS)


@pytest.fixture
def goods(db):
    for tenant_id, rows in GOODS.items():
        with tenant_context(tenant_id):
            category = Category.objects.create(name="Things")
            for sku, price, currency, stock in rows:
                Product.objects.create(
                    sku=sku, name=sku, category=category, price=Decimal(price), currency=currency, stock=stock
                )


def run(*, exit_code=0, **options):
    out, err = io.StringIO(), io.StringIO()
    if exit_code:
        with pytest.raises(SystemExit) as raised:
            call_command("report", "inventory", stdout=out, stderr=err, no_color=True, **options)
        assert raised.value.code == exit_code
    else:
        call_command("report", "inventory", stdout=out, stderr=err, no_color=True, **options)
    assert current_tenant() is None
    return out.getvalue(), err.getvalue()


EXPECTED = [
    ["acme", "EUR", "3", "4", "0.50"],
    ["acme", "USD", "1", "7", "139.93"],
    ["globex", "CHF", "1", "1", "1.00"],
    ["globex", "EUR", "1", "1000000", "9999999999990000.00"],
]


@everybody
def test_csv_has_one_row_for_each_tenant_and_currency(goods):
    out, err = run(format="csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["tenant", "currency", "products", "stock", "value"]
    assert sorted(rows[1:]) == EXPECTED
    assert err == ""


@everybody
def test_the_numbers_are_those_of_each_tenants_own_rows(goods):
    """Computed a second time, product by product and in decimals."""
    for tenant_id in TENANTS:
        with tenant_context(tenant_id):
            rows = inventory()
            products = list(Product.objects.all())
        for row in rows:
            own = [product for product in products if product.currency == row.currency]
            value = sum((product.price * product.stock for product in own), Decimal(0))
            assert row == InventoryRow(row.currency, len(own), sum(product.stock for product in own), value)
        assert {row.currency for row in rows} == {product.currency for product in products}


@everybody
def test_json_has_rows_totals_and_how_each_tenant_went(goods):
    out, err = run(format="json")
    document = json.loads(out)
    assert document["complete"] is True
    assert [(tenant["tenant"], tenant["result"], tenant["error"]) for tenant in document["tenants"]] == [
        (tenant_id, "ok", "") for tenant_id in TENANTS
    ]
    assert all(tenant["seconds"] >= 0 for tenant in document["tenants"])
    assert document["tenants"][0]["rows"] == [
        {"currency": "EUR", "products": 3, "stock": 4, "value": "0.50"},
        {"currency": "USD", "products": 1, "stock": 7, "value": "139.93"},
    ]
    assert document["tenants"][2]["rows"] == []
    assert document["totals"] == [
        {"currency": "CHF", "products": 1, "stock": 1, "value": "1.00"},
        {"currency": "EUR", "products": 4, "stock": 1_000_004, "value": "9999999999990000.50"},
        {"currency": "USD", "products": 1, "stock": 7, "value": "139.93"},
    ]
    assert err == ""


@everybody
def test_a_table_shows_rows_and_totals(goods):
    out, err = run()
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["tenant", "currency", "products", "stock", "value"]
    assert ["acme", "EUR", "3", "4", "0.50"] in lines
    assert ["globex", "EUR", "1", "1,000,000", "9,999,999,999,990,000.00"] in lines
    assert ["total", "EUR", "4", "1,000,004", "9,999,999,999,990,000.50"] in lines
    assert ["total", "USD", "1", "7", "139.93"] in lines
    assert err == ""


@everybody
@pytest.mark.parametrize("output", ["csv", "json"])
def test_amounts_have_two_decimals(goods, output):
    out, _ = run(format=output)
    if output == "csv":
        values = [row["value"] for row in csv.DictReader(io.StringIO(out))]
    else:
        document = json.loads(out)
        values = [row["value"] for tenant in document["tenants"] for row in tenant["rows"]]
        values += [row["value"] for row in document["totals"]]
    assert values
    assert all(len(value.partition(".")[2]) == 2 for value in values)


@everybody
def test_nothing_in_stock_is_an_empty_report(db):
    out, err = run(format="csv")
    assert out == "tenant,currency,products,stock,value\n"
    out, err = run(format="json")
    assert json.loads(out)["totals"] == []
    assert err == ""


def test_currencies_are_never_added():
    rows = [
        InventoryRow("EUR", 1, 2, Decimal("3.00")),
        InventoryRow("USD", 1, 2, Decimal("3.00")),
        InventoryRow("EUR", 10, 20, Decimal("30.00")),
    ]
    assert total(rows) == [
        InventoryRow("EUR", 11, 22, Decimal("33.00")),
        InventoryRow("USD", 1, 2, Decimal("3.00")),
    ]
    assert total([]) == []


def test_no_tenants_is_an_empty_report():
    with only_tenants():
        assert run(format="csv") == ("tenant,currency,products,stock,value\n", "")


failing = databases("control", *TENANTS, transaction=True)


@failing
@pytest.mark.parametrize("output", ["table", "csv", "json"])
def test_a_tenant_that_fails_is_named_and_the_others_are_shown(goods, output):
    with repointed("globex", NAME="/dev/null/no_such_database"):
        out, err = run(format=output, exit_code=1)
    partial, failed = err.splitlines()
    assert partial == "2 of 3 tenants answered; the totals are partial."
    assert failed.startswith(
        "unreachable: globex: DatabaseUnavailable: The database of 'globex' is unavailable: it"
    )
    assert "/dev/null" not in failed
    assert "139.93" in out
    assert "CHF" not in out
    if output == "json":
        document = json.loads(out)
        assert document["complete"] is False
        assert [tenant["result"] for tenant in document["tenants"]] == ["ok", "unreachable", "ok"]
        assert document["totals"][0] == {"currency": "EUR", "products": 3, "stock": 4, "value": "0.50"}
    if output == "table":
        assert ["globex", "unreachable"] in [line.split() for line in out.splitlines()]


@everybody
@pytest.mark.parametrize("output", ["table", "csv", "json"])
def test_a_suspended_tenant_is_named_without_changing_the_exit_status(goods, output):
    with changed_tenant("globex", status=Status.SUSPENDED):
        out, err = run(format=output)
    assert err.splitlines() == [
        "2 of 3 tenants answered; the totals are partial.",
        "skipped: globex: suspended",
    ]
    assert "139.93" in out
    assert "CHF" not in out
    if output == "json":
        assert json.loads(out)["complete"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_report"], "invalid choice: 'no_such_report'"),
        ([], "the following arguments are required: name"),
        (["inventory", "--format", "xml"], "invalid choice: 'xml'"),
    ],
    ids=["no such report", "none named", "no such format"],
)
def test_wrong_usage_is_told(arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("report", *arguments)
