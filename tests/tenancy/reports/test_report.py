"""Declaring a report, its parameters, and the rows of its function."""

from __future__ import annotations

import pytest
from django import forms
from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from catalog.models import Category
from tenancy.context import tenant_context
from tenancy.exceptions import NoTenant
from tenancy.reports import report as module
from tenancy.reports.columns import BadValue, Column
from tenancy.reports.merges import Count, Distinct, Mean, Sum
from tenancy.reports.report import (
    SQL,
    ParametersRefused,
    Report,
    ReportNotFound,
    TooManyRows,
    all_reports,
    get_report,
    report,
)
from tenancy.testing import databases, twins

N = Column("n", int, Sum())


@pytest.fixture(autouse=True)
def _no_other_reports(monkeypatch):
    all_reports()
    monkeypatch.setattr(module, "_reports", dict(module._reports))


def test_the_catalogues_reports_are_found():
    assert [declared.name for declared in all_reports()] == ["inventory", "prices", "restock"]
    assert get_report("inventory").description == "Products, pieces in stock and their value, by currency."


def test_an_unknown_one_is_told_with_a_guess():
    with pytest.raises(ReportNotFound, match="No report is called 'inventroy': did you mean 'inventory'"):
        get_report("inventroy")
    with pytest.raises(ReportNotFound, match="--list"):
        get_report("x")


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("Bad Name", [N], "not 'Bad Name'"),
        ("none", [], "needs columns"),
        ("twice", [N, N], "of its own"),
        ("mean", [Column("m", float, Mean("n"))], "no numbers in a column 'n'"),
        ("mean", [Column("m", float, Mean("n")), Column("n")], "no numbers in a column 'n'"),
        ("mean", [Column("m", float, Mean("n")), Column("n", str, Count())], "no numbers in a column 'n'"),
        ("mean", [Column("m", float, Mean("n")), Column("n", int, Distinct())], "no numbers in a column"),
        ("twice", [N, Column("m", int, source="n")], "a source of its own"),
    ],
)
def test_a_wrong_declaration_is_refused_at_once(name, columns, message):
    with pytest.raises(ImproperlyConfigured, match=message):
        report(name, *columns)(list)


def test_parameters_and_arguments_are_the_same():
    with pytest.raises(
        ImproperlyConfigured,
        match=r"declares the parameters \(below\), and its function takes \(below, days\)",
    ):
        report("r", N, below=forms.IntegerField())(lambda *, below, days: [])
    with pytest.raises(ImproperlyConfigured, match=r"its function takes \(.*\); make them the same"):
        report("r", N, below=forms.IntegerField())(list)
    report("r", N, below=forms.IntegerField())(lambda **given: [])


def test_two_of_one_name_are_refused_and_a_module_may_be_loaded_again():
    def first():
        return []

    report("r", N)(first)
    report("r", N)(first)

    def second():
        return []

    with pytest.raises(ImproperlyConfigured, match="Two reports are called 'r'"):
        report("r", N)(second)


def declared(function, *columns, **parameters):
    return Report("r", columns or (N,), function, parameters)


def test_parameters_are_checked_by_djangos_fields():
    asked = declared(
        lambda **given: [],
        below=forms.IntegerField(min_value=1, initial=5),
        name=forms.CharField(required=False),
    )
    assert asked.clean({}) == {"below": 5, "name": ""}
    assert asked.clean({"below": "7", "name": " x "}) == {"below": 7, "name": "x"}
    for given, message in (
        ({"below": "0"}, "Parameter 'below': Ensure this value is greater than or equal to 1."),
        ({"below": ""}, "Parameter 'below': This field is required."),
        ({"belwo": "1"}, "did you mean 'below'"),
        ({"q": "1"}, "it takes below, name"),
    ):
        with pytest.raises(ParametersRefused, match=message):
            asked.clean(given)
    with pytest.raises(ParametersRefused, match="it takes none"):
        declared(list).clean({"q": "1"})


def test_a_required_parameter_has_to_be_given():
    with pytest.raises(ParametersRefused, match="Parameter 'day': This field is required"):
        declared(lambda day: [], day=forms.DateField()).clean({})


def test_rows_are_mappings_of_the_columns_in_any_order():
    pair = (Column("a"), Column("b", int, source="c"))
    asked = declared(lambda: [{"c": 1, "a": "x"}, {"a": "y", "c": 2}], *pair)
    assert asked.ask({}, 10) == [("x", 1), ("y", 2)]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([{"x": 1}], "a row has no 'n'"),
        ([{"n": 1, "x": 1}], "a row has 'x', which is no column"),
        ([(1,)], "a row is tuple"),
        (None, "it returned NoneType"),
        ("text", "it returned str"),
        ({"n": 1}, "it returned dict"),
        ([{"n": "1"}], "column 'n' takes int, and got str"),
    ],
)
def test_what_is_not_as_declared_is_refused(answer, message):
    with pytest.raises(BadValue, match=message):
        declared(lambda: answer).ask({}, 10)


def test_more_rows_than_wanted_are_an_error():
    asked = declared(lambda: ({"n": n} for n in range(11)))
    assert len(asked.ask({}, 11)) == 11
    with pytest.raises(TooManyRows, match="more than 10 rows"):
        asked.ask({}, 10)


@databases("acme", "globex", transaction=True)
def test_a_queryset_and_sql_answer_for_the_tenant_in_context():
    twins(Category, ["acme", "globex"], name=lambda tenant_id: f"canary-{tenant_id}")
    name = Column("name")
    for function in (
        lambda: Category.objects.values("name"),
        lambda: SQL("SELECT name FROM catalog_category"),
        lambda: SQL("SELECT name FROM catalog_category WHERE name LIKE %s", ("canary%",)),
    ):
        for tenant_id in ("acme", "globex"):
            with tenant_context(tenant_id):
                assert declared(function, name).ask({}, 10) == [(f"canary-{tenant_id}",)]
        with pytest.raises(NoTenant):
            declared(function, name).ask({}, 10)
    with tenant_context("acme"), pytest.raises(BadValue, match="two columns of one name"):
        declared(lambda: SQL("SELECT 1 AS n, 2 AS n")).ask({}, 10)
    with tenant_context("acme"), pytest.raises(Error):
        declared(lambda: SQL("SELEC"), name).ask({}, 10)
