"""The rows that every tenant of every variant has."""

from __future__ import annotations

import uuid
from typing import Any

from psycopg2.extras import execute_values

PRODUCTS, CATEGORIES = 200, 10
#: What a request of the benchmarks creates begins with this, and is deleted after.
MARK = "bench-"

_TEXT = "Forged by hand, tempered twice, and delivered with a certificate of its weight. " * 2


def key(kind: str, number: int) -> str:
    """The id of a row: the same in every tenant."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


def seed(cursor: Any, products: int = PRODUCTS) -> None:
    """Fill the tables of the cursor's schema."""
    execute_values(
        cursor,
        "INSERT INTO catalog_category (id, name, description, parent_id) VALUES %s",
        [(key("category", n), f"Category {n:03}", _TEXT, None) for n in range(CATEGORIES)],
    )
    execute_values(
        cursor,
        "INSERT INTO catalog_product (id, sku, name, description, category_id, price, currency, stock,"
        " is_active, created_at, updated_at) VALUES %s",
        [
            (key("product", n), f"sku-{n:05}", f"Product {n:05}", _TEXT, key("category", n % CATEGORIES), n)
            for n in range(products)
        ],
        "(%s, %s, %s, %s, %s, %s, 'EUR', 5, true, now(), now())",
    )


def product(number: int) -> dict[str, Any]:
    """What is sent to create a product."""
    return {
        "sku": f"{MARK}{number}",
        "name": f"{MARK}{number}",
        "description": _TEXT,
        "category": key("category", number % CATEGORIES),
        "price": "19.90",
        "currency": "EUR",
        "stock": 7,
    }


def category(number: int) -> dict[str, Any]:
    """What is sent to create a category."""
    return {"name": f"{MARK}{number}", "description": _TEXT, "parent": None}


#: Deletes what was created.
DELETE = (
    f"DELETE FROM {{schema}}.catalog_product WHERE sku LIKE '{MARK}%'",
    f"DELETE FROM {{schema}}.catalog_category WHERE name LIKE '{MARK}%'",
)
