"""Reports over one tenant's catalogue. Who walks the tenants is not known here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, DecimalField, F, Sum

from catalog.models import Product


@dataclass(frozen=True)
class InventoryRow:
    """What is in stock in one currency. Amounts in different currencies are never added."""

    currency: str
    products: int
    stock: int
    value: Decimal


def inventory() -> list[InventoryRow]:
    """Products, pieces in stock and their value, by currency."""
    rows = (
        Product.objects.values("currency")
        .annotate(
            products=Count("pk"),
            pieces=Sum("stock"),
            value=Sum(F("price") * F("stock"), output_field=DecimalField(max_digits=24, decimal_places=2)),
        )
        .order_by("currency")
    )
    return [
        InventoryRow(
            row["currency"],
            row["products"],
            row["pieces"],
            # SQLite computes in floating point and returns more digits than money has.
            row["value"].quantize(Decimal("0.01")),
        )
        for row in rows
    ]


def total(rows: Iterable[InventoryRow]) -> list[InventoryRow]:
    """The sums of many tenants' rows, by currency."""
    by_currency: dict[str, list[InventoryRow]] = defaultdict(list)
    for row in rows:
        by_currency[row.currency].append(row)
    return [
        InventoryRow(
            currency,
            sum(row.products for row in group),
            sum(row.stock for row in group),
            sum((row.value for row in group), Decimal(0)),
        )
        for currency, group in sorted(by_currency.items())
    ]
