"""Numbers that no column holds, wherever the description has a number: an answer, and no fault of ours.

SQLite's driver refuses them with an error that is none of the database's; what looks for borders at random
(``test_schemathesis``) does so on PostgreSQL only.
"""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tenancy.testing import databases
from tests.project.test_openapi import operations

pytestmark = databases("control", "acme", "globex")

BORDERS = [2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**400]
NUMBERS = {"integer", "number"}


def types(schema):
    """All that a value may be, as far as the description says it in place."""
    found = {schema.get("type")} if isinstance(schema.get("type"), str) else set(schema.get("type") or ())
    for part in ("oneOf", "anyOf", "allOf"):
        for one in schema.get(part, ()):
            found |= types(one)
    return found


def numbers(schema):
    """Method, path, where and name of every number that may be given."""
    for (url, method), operation in operations(schema).items():
        for each in operation.get("parameters", ()):
            if NUMBERS & types(each["schema"]):
                yield method, url, each["in"], each["name"]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            body = schema["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            for name, value in body["properties"].items():
                if NUMBERS & types(value):
                    yield method, url, "body", name


def ask(client, method, url, where, name, value, product):
    path = url.replace("{id}", str(product.pk))
    query = {name: str(value)} if where == "query" else {}
    body = {
        "sku": "N-1",
        "name": "New",
        "price": "1.00",
        "currency": "EUR",
        "category": str(product.category_id),
    }
    return getattr(client, method)(
        path, body | {name: value} if where == "body" else None, query_params=query
    )


@pytest.mark.parametrize("value", BORDERS, ids=lambda value: f"{value:.0e}" if value < 10**40 else "huge")
def test_a_number_that_no_column_holds_is_answered(ada, twin_products, value):
    product, _ = twin_products()
    asked = set()
    for method, url, where, name in numbers(APIClient().get("/api/schema/").json()):
        answer = ask(ada, method, url, where, name, value, product)
        assert answer.status_code < 500, f"{method} {url}: {name}"
        asked.add((where, name))
    assert {("body", "stock"), ("query", "page")} <= asked
