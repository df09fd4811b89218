"""The catalogue's three reports: the numbers are those of the rows, computed a second time in Python."""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import json
import logging
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.models import Category, Product
from catalog.reports import BANDS
from tenancy.context import tenant_context
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, only_tenants, repointed
from tests.tenancy.command import report

TENANTS = ["acme", "globex", "initech"]

pytestmark = databases("control", *TENANTS, transaction=True)

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


def put(tenant_id, rows):
    with tenant_context(tenant_id):
        Product.objects.all().delete()
        category, _ = Category.objects.get_or_create(
            pk="00000000-0000-0000-0000-000000000001", defaults={"name": "Things"}
        )
        Product.objects.bulk_create(
            Product(
                sku=sku, name=sku, category=category, price=Decimal(price), currency=currency, stock=stock
            )
            for sku, price, currency, stock in rows
        )


@pytest.fixture
def goods():
    for tenant_id, rows in GOODS.items():
        put(tenant_id, rows)


def document(*arguments, code=0):
    found, out, _ = report(*arguments, "--format", "json")
    assert found == code
    return json.loads(out)


def totals(*arguments):
    return document(*arguments)["totals"]


EXPECTED = [
    ["acme", "EUR", "3", "4", "0.50", "ok"],
    ["acme", "USD", "1", "7", "139.93", "ok"],
    ["globex", "CHF", "1", "1", "1.00", "ok"],
    ["globex", "EUR", "1", "1000000", "9999999999990000.00", "ok"],
]


def test_csv_has_one_row_for_each_tenant_and_currency(goods):
    code, out, err = report("inventory", "--format", "csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["tenant", "currency", "products", "stock", "value", "result"]
    assert rows[1:] == EXPECTED
    assert (code, err) == (0, "")


def test_json_has_rows_totals_and_how_each_tenant_went(goods):
    found = document("inventory")
    assert found["complete"] is True
    assert [(tenant["tenant"], tenant["result"], tenant["error"]) for tenant in found["tenants"]] == [
        (tenant_id, "ok", "") for tenant_id in TENANTS
    ]
    assert all(tenant["seconds"] >= 0 for tenant in found["tenants"])
    assert found["tenants"][0]["rows"] == [
        {"currency": "EUR", "products": 3, "stock": 4, "value": "0.50"},
        {"currency": "USD", "products": 1, "stock": 7, "value": "139.93"},
    ]
    assert found["tenants"][2]["rows"] == []
    assert found["totals"] == [
        {"currency": "CHF", "products": 1, "stock": 1, "value": "1.00"},
        {"currency": "EUR", "products": 4, "stock": 1_000_004, "value": "9999999999990000.50"},
        {"currency": "USD", "products": 1, "stock": 7, "value": "139.93"},
    ]


def test_a_table_shows_rows_and_totals(goods):
    code, out, err = report("inventory")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["tenant", "currency", "products", "stock", "value"]
    assert ["acme", "EUR", "3", "4", "0.50"] in lines
    assert ["globex", "EUR", "1", "1,000,000", "9,999,999,999,990,000.00"] in lines
    assert ["initech", "none"] in lines
    assert ["total", "EUR", "4", "1,000,004", "9,999,999,999,990,000.50"] in lines
    assert (code, err) == (0, "")


def test_nothing_in_stock_is_an_empty_report():
    _, out, err = report("inventory", "--format", "csv")
    assert (out, err) == ("tenant,currency,products,stock,value,result\n", "")
    assert totals("inventory") == []


def test_no_tenants_is_an_empty_report():
    with only_tenants():
        code, out, err = report("inventory", "--format", "csv")
        assert (code, out, err) == (0, "tenant,currency,products,stock,value,result\n", "")
        assert document("inventory")["coverage"]["tenants"] == 0


@pytest.mark.parametrize("output", ["table", "csv", "json", "jsonl", "html"])
def test_a_tenant_that_fails_is_named_and_the_others_are_shown(goods, output):
    with repointed("globex", NAME="/dev/null/no_such_database"):
        code, out, err = report("inventory", "--format", output, "--retries", "0")
    assert code == 1
    summary, failed, *_ = err.splitlines()
    assert summary == "2 of 3 tenants answered; the totals are partial."
    assert failed.startswith(
        "unreachable: globex: DatabaseUnavailable: The database of 'globex' is unavailable: it"
    )
    assert "/dev/null" not in failed
    assert "139.93" in out
    assert "CHF" not in out
    # Whoever has the output only can tell, too.
    if output == "json":
        found = json.loads(out)
        assert found["complete"] is False
        assert [tenant["result"] for tenant in found["tenants"]] == ["ok", "unreachable", "ok"]
        assert found["totals"][0] == {"currency": "EUR", "products": 3, "stock": 4, "value": "0.50"}
        assert found["coverage"]["absent"][0]["tenant"] == "globex"
    if output == "jsonl":
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines[-1]["coverage"]["complete"] is False
        assert [(line["answered"], line["tenants"]) for line in lines if "total" in line] == [(2, 3), (2, 3)]
    if output == "csv":
        assert ["globex", "", "", "", "", "unreachable"] in list(csv.reader(io.StringIO(out)))
    if output == "table":
        assert ["globex", "unreachable"] in [line.split() for line in out.splitlines()]
        assert ["2", "of", "3", "EUR", "3", "4", "0.50"] in [line.split() for line in out.splitlines()]
        assert "total" not in out
    if output == "html":
        assert "Totals of 2 of 3 tenants" in out


def test_what_some_were_chosen_for_is_not_the_total(goods):
    _, out, _ = report("inventory", "acme")
    assert ["1", "chosen", "EUR", "3", "4", "0.50"] in [line.split() for line in out.splitlines()]
    assert "total" not in out
    found = document("inventory", "acme", "globex")
    assert (found["coverage"]["tenants"], found["coverage"]["known"]) == (2, 3)
    _, out, _ = report("inventory", "--exclude", "acme", "--format", "html")
    assert "2 of 3 tenants were chosen, and all of them answered." in out
    assert "Totals of 2 chosen tenants" in out
    _, out, _ = report("inventory", "acme", "--totals", "--format", "csv")
    assert out.splitlines()[1] == "EUR,3,4,0.50,1,1,3"


def test_the_files_name_says_the_format(goods, tmp_path):
    for suffix, start in (("csv", "tenant,"), ("json", "{\n"), ("html", "<!doctype"), ("txt", "tenant ")):
        report("inventory", "--output", str(tmp_path / f"x.{suffix}"))
        assert (tmp_path / f"x.{suffix}").read_text().startswith(start)
    report("inventory", "--output", str(tmp_path / "x.parquet"))
    assert (tmp_path / "x.parquet").read_bytes()[:4] == b"PAR1"
    _, out, _ = report("inventory", "--output", "-")
    assert out.startswith("tenant ")


def test_where_a_report_failed_is_shown_when_it_is_asked_for(goods, monkeypatch, caplog):
    monkeypatch.setattr(Product.objects, "values", None)
    logger = logging.getLogger("tenancy.fleet")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        code, _, err = report("inventory", "acme")
        assert (code, "Where it failed, --traceback shows." in err) == (1, True)
        assert "catalog/reports.py" not in caplog.text
        code, _, err = report("inventory", "acme", "--traceback")
        assert (code, "--traceback" in err) == (1, False)
        assert "catalog/reports.py" in caplog.text
    finally:
        logger.setLevel(before)


def test_totals_alone_say_whose_they_are(goods):
    with repointed("globex", NAME="/dev/null/no_such_database"):
        code, out, _ = report("inventory", "--format", "csv", "--totals", "--retries", "0", "--allow-partial")
    assert code == 0
    assert out.splitlines() == [
        "currency,products,stock,value,answered,tenants,known",
        "EUR,3,4,0.50,2,3,3",
        "USD,1,7,139.93,2,3,3",
    ]


@pytest.mark.parametrize("output", ["table", "csv", "json", "jsonl", "html"])
def test_a_suspended_tenant_is_named_without_changing_the_exit_status(goods, output):
    with changed_tenant("globex", status=Status.SUSPENDED):
        code, out, err = report("inventory", "--format", output)
    assert code == 0
    assert err.splitlines() == [
        "2 of 3 tenants answered; the totals are partial.",
        "skipped: globex: suspended",
    ]
    assert "139.93" in out
    assert "CHF" not in out
    if output == "json":
        assert json.loads(out)["complete"] is False


def test_a_tenant_that_is_behind_is_told_with_what_helps(goods):
    call_command("migrate", "catalog", "zero", database="initech", verbosity=0)
    try:
        code, _, err = report("inventory")
    finally:
        call_command("migrate", database="initech", verbosity=0)
    assert code == 1
    assert "behind: initech: TenantMigrating" in err
    assert "`tenants migrate --all` brings up to date" in err


def test_prices_are_in_bands_with_their_mean(goods):
    assert totals("prices") == [
        {"currency": "CHF", "band": 1, "lowest": "1.00", "highest": "1.00", "mean": "1.00", "products": 1},
        {"currency": "EUR", "band": 0, "lowest": "0.10", "highest": "0.20", "mean": "0.15", "products": 2},
        {"currency": "EUR", "band": 5, "lowest": "5.00", "highest": "5.00", "mean": "5.00", "products": 1},
        {
            "currency": "EUR",
            "band": 10_000,
            "lowest": "9999999999.99",
            "highest": "9999999999.99",
            "mean": "9999999999.99",
            "products": 1,
        },
        {
            "currency": "USD",
            "band": 10,
            "lowest": "19.99",
            "highest": "19.99",
            "mean": "19.99",
            "products": 1,
        },
    ]
    assert {row["currency"] for row in totals("prices", "--param", "currency=EUR")} == {"EUR"}


def test_what_is_low_or_stale_is_to_be_looked_after(goods):
    with tenant_context("acme"):
        Product.objects.filter(sku="A-3").update(updated_at=timezone.now() - datetime.timedelta(days=200))
    found = document("restock")
    rows = {tenant["tenant"]: tenant["rows"] for tenant in found["tenants"]}
    assert [(row["sku"], row["reason"]) for row in rows["acme"]] == [
        ("A-1", "low"),
        ("A-2", "low"),
        ("A-3", "stale"),
        ("A-4", "low"),
    ]
    assert [(row["sku"], row["reason"]) for row in rows["globex"]] == [("A-2", "low")]
    merged = {(row["currency"], row["reason"]): row for row in found["totals"]}
    assert (merged["EUR", "low"]["sku"], merged["EUR", "low"]["name"], merged["EUR", "low"]["stock"]) == (
        3,
        3,
        4,
    )
    assert merged["USD", "stale"]["value"] == "139.93"
    assert merged["USD", "stale"]["touched"] < merged["EUR", "low"]["touched"]
    fewer = document("restock", "--param", "below=1", "--param", "days=300")
    assert [row["sku"] for tenant in fewer["tenants"] for row in tenant["rows"]] == ["A-4"]


def test_skus_that_several_tenants_have_are_different_once(goods):
    put("initech", [("A-2", "1.00", "EUR", 1)])
    (row,) = [row for row in totals("restock") if row["currency"] == "EUR"]
    assert (row["sku"], row["name"]) == (3, 4)


goods_of_one = st.lists(
    st.tuples(
        st.decimals(0, 10**7, places=2),
        st.sampled_from(["CHF", "EUR"]),
        st.integers(0, 1000),
    ),
    max_size=5,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(goods_of_one, goods_of_one))
def test_two_tenants_merge_to_what_one_with_all_their_rows_has(parts):
    """The database's own aggregates over the union are the judge."""
    numbers = itertools.count()
    rows = [[(f"S-{next(numbers)}", *row) for row in part] for part in parts]
    put("acme", rows[0])
    put("globex", rows[1])
    put("initech", rows[0] + rows[1])
    for name in ("inventory", "restock"):
        apart, together = totals(name, "acme", "globex"), totals(name, "initech")
        for row in (*apart, *together):
            row.pop("touched", None)  # they were written one after the other
        assert apart == together
    apart, together = totals("prices", "acme", "globex"), totals("prices", "initech")
    for one, other in zip(apart, together, strict=True):
        # Each tenant's mean was rounded to the cent, and so was the one of all.
        assert abs(Decimal(one.pop("mean")) - Decimal(other.pop("mean"))) <= Decimal("0.01")
        assert one == other


def test_a_price_lies_in_the_band_that_begins_below_it():
    put("acme", [(f"S-{edge}", str(edge), "EUR", 1) for edge in BANDS])
    assert [row["band"] for row in totals("prices", "acme")] == list(BANDS)
    assert all(row["products"] == 1 for row in totals("prices", "acme"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such"], "No report is called 'no-such'"),
        ([], "Name a report; --list tells which there are."),
        (["inventory", "--format", "xml"], "invalid choice: 'xml'"),
        (["inventory", "acne"], "Did you mean 'acme'"),
        (["inventory", "--param", "x=1"], "no parameter 'x': it takes none"),
        (["prices", "--param", "currency=eur"], "Parameter 'currency': Three capital letters"),
        (["restock", "--param", "below=none"], "Parameter 'below': Enter a whole number."),
        (["restock", "--param", "below=1", "--param", "below=2"], "A parameter is given twice"),
        (["restock", "--param", "below"], "'below' is not NAME=VALUE"),
        (["inventory", "--jobs", "0"], "'0' is not a number from 1 on"),
        (
            ["inventory", "--output", "x.xlsx"],
            "--output x.xlsx: name a --format, or end it with .table, .csv",
        ),
        (["inventory", "--format", "parquet"], "--format parquet needs --output FILE"),
        (["inventory", "--format", "csv", "--output", "/"], "--output / is a folder."),
        (["inventory", "--output", "/no/such/folder/x.csv"], "cannot be written: No such file or directory."),
    ],
)
def test_wrong_usage_is_told(arguments, message):
    with pytest.raises(CommandError, match=message) as caught:
        report(*arguments)
    assert caught.value.returncode in (1, 2)
