"""Reports over one tenant's catalogue. Who walks the tenants is not known here."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.db.models import (
    Avg,
    Case,
    Count,
    DecimalField,
    ExpressionWrapper,
    F,
    Max,
    Min,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.utils import timezone

from catalog.models import Product
from tenancy.reports import merges
from tenancy.reports.columns import Column
from tenancy.reports.report import report

#: Where the bands of prices begin, in whole units of their currency.
BANDS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)

#: Amounts in different currencies are never added: a currency is always a key.
CURRENCY = Column("currency", key=True)
VALUE = ExpressionWrapper(F("price") * F("stock"), output_field=DecimalField(max_digits=24, decimal_places=2))

Rows = QuerySet[Product, dict[str, Any]]


@report(
    "inventory",
    CURRENCY,
    Column("products", int, merges.Sum()),
    Column("stock", int, merges.Sum(), source="pieces"),
    Column("value", Decimal, merges.Sum()),
)
def inventory() -> Rows:
    """Products, pieces in stock and their value, by currency."""
    return (
        Product.objects.values("currency")
        .annotate(products=Count("pk"), pieces=Sum("stock"), value=Sum(VALUE))
        .order_by("currency")
    )


@report(
    "prices",
    CURRENCY,
    Column("band", int, key=True),
    Column("lowest", Decimal, merges.Min()),
    Column("highest", Decimal, merges.Max()),
    Column("mean", Decimal, merges.Mean("products")),
    Column("products", int, merges.Sum()),
    currency=forms.CharField(
        required=False, validators=[RegexValidator(r"\A[A-Z]{3}\Z", "Three capital letters (ISO 4217).")]
    ),
)
def prices(*, currency: str) -> Rows:
    """How many products lie in which band of prices, by currency; or in one currency only."""
    products = Product.objects.filter(currency=currency) if currency else Product.objects.all()
    bands = [When(price__gte=edge, then=Value(edge)) for edge in reversed(BANDS)]
    return (
        products.annotate(band=Case(*bands))
        .values("currency", "band")
        .annotate(lowest=Min("price"), highest=Max("price"), mean=Avg("price"), products=Count("pk"))
        .order_by("currency", "band")
    )


@report(
    "restock",
    CURRENCY,
    Column("reason", key=True),
    Column("sku", merge=merges.Distinct()),
    Column("name", merge=merges.Count()),
    Column("stock", int, merges.Sum()),
    Column("value", Decimal, merges.Sum()),
    Column("touched", datetime, merges.Min(), source="updated_at"),
    below=forms.IntegerField(min_value=1, initial=5),
    days=forms.IntegerField(min_value=1, max_value=36_500, initial=180),
)
def restock(*, below: int, days: int) -> Rows:
    """Products to look after: low (fewer than ``below`` pieces) or stale (untouched for ``days``)."""
    since = timezone.now() - timedelta(days=days)
    reason = Case(When(stock__lt=below, then=Value("low")), When(updated_at__lt=since, then=Value("stale")))
    return (
        Product.objects.filter(is_active=True)
        .annotate(reason=reason, value=VALUE)
        .filter(reason__isnull=False)
        .order_by("sku")
        .values("currency", "reason", "sku", "name", "stock", "value", "updated_at")
    )
