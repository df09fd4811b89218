"""What there is before the first request: equal keys everywhere, and nothing else that is equal.

Each tenant has the same categories and products under the same keys. Their texts carry the tenant's canary
and their prices lie in a band of its own, so that a leak shows as wrong data and not as "not found".
"""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal

from tests.swarm.canaries import canary

#: The last three share a database and have a schema each.
TENANTS = (
    *("acme", "globex", "initech", "hooli", "umbrella", "wonka", "stark", "wayne", "tyrell"),
    *("soylent", "oscorp", "cyberdyne"),
)
SCHEMAS = TENANTS[-3:]
SHARED_DATABASE = "shared"

#: Together more than an export reads at a time, so that its end is made when its start is sent already.
ORDINARY, FAT, COUNTERS = 230, 6, 3
#: Characters of a fat product's description: an export of them is larger than what sockets hold.
FATNESS = 18_000
CATEGORIES = 4

#: A tenant's prices start at its place in ``TENANTS`` times this.
BAND = 1000

_KEYS = uuid.UUID("5ca1ab1e-0000-4000-8000-000000000000")

#: The fields of a row that the swarm compares; without the key by which it is known.
Fields = tuple[object, ...]


@dataclass(frozen=True)
class Category:
    id: str
    name: str
    description: str
    parent: str | None

    @property
    def fields(self) -> Fields:
        return (self.description, self.parent)


@dataclass(frozen=True)
class Product:
    id: str
    sku: str
    name: str
    description: str
    category: str
    price: str
    currency: str
    stock: int
    is_active: bool

    @property
    def fields(self) -> Fields:
        return (
            self.name,
            self.description,
            self.category,
            self.price,
            self.currency,
            self.stock,
            self.is_active,
        )

    def with_stock(self, stock: int) -> Product:
        return replace(self, stock=stock)


def key(kind: str, number: int) -> str:
    """The same for every tenant."""
    return str(uuid.uuid5(_KEYS, f"{kind} {number}"))


def price_band(tenant_id: str) -> tuple[Decimal, Decimal]:
    """The tenant's prices: from the first, and less than the second."""
    start = Decimal(BAND * TENANTS.index(tenant_id))
    return start, start + BAND


@functools.cache
def categories(tenant_id: str) -> list[Category]:
    return [
        Category(
            id=key("category", number),
            name=canary(tenant_id, f"category {number}"),
            description=canary(tenant_id, "what is sorted here"),
            parent=key("category", 0) if number else None,
        )
        for number in range(CATEGORIES)
    ]


def product(tenant_id: str, number: int) -> Product:
    return products(tenant_id)[number]


def product_by_sku(tenant_id: str, sku: str) -> Product | None:
    return _products_by_sku(tenant_id).get(sku)


@functools.cache
def _products_by_sku(tenant_id: str) -> dict[str, Product]:
    return {product.sku: product for product in products(tenant_id)}


@functools.cache
def products(tenant_id: str) -> list[Product]:
    start, _ = price_band(tenant_id)
    made = []
    for number in range(ORDINARY + FAT + COUNTERS):
        is_fat = ORDINARY <= number < ORDINARY + FAT
        word = canary(tenant_id, f"all about {number}. ")
        made.append(
            Product(
                id=key("product", number),
                sku=canary(tenant_id, f"seed-{number:03}"),
                name=canary(tenant_id, f"{'~fat' if is_fat else 'product'} {number:03}"),
                # Without the space at its end, which the API would strip.
                description=(word * (FATNESS // len(word) if is_fat else 2)).strip(),
                category=key("category", number % CATEGORIES),
                price=f"{start + number}.50",
                currency="EUR",
                stock=0 if number >= ORDINARY + FAT else number,
                is_active=True,
            )
        )
    return made


#: Rows whose stock all clients of a tenant raise by one, under the same keys everywhere.
COUNTER_KEYS = tuple(key("product", ORDINARY + FAT + number) for number in range(COUNTERS))
