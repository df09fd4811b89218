"""A database names a constraint in its own way; the client reads the sentence of the model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import IntegrityError

from tenancy.rest.constraints import explain

GENERAL = "A rule of the data forbids this."


def error(message="", constraint=None):
    """As a driver's error arrives: PostgreSQL's gives the name, SQLite's has it in the wording."""
    cause = Exception(message)
    if constraint is not None:
        cause.diag = SimpleNamespace(constraint_name=constraint)
    exc = IntegrityError(message)
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    ("exc", "sentence"),
    [
        (error(constraint="product_sku_unique"), "Another product has this SKU."),
        (error("UNIQUE constraint failed: catalog_product.sku"), "Another product has this SKU."),
        (error(constraint="category_not_its_own_parent"), "A category cannot be its own parent."),
        (
            error("CHECK constraint failed: category_not_its_own_parent"),
            "A category cannot be its own parent.",
        ),
        # Django's own sentence for these would name the constraint.
        (error(constraint="product_price_not_negative"), GENERAL),
        (error("CHECK constraint failed: product_price_not_negative"), GENERAL),
        (error(constraint="catalog_product_category_id_fk"), GENERAL),
        (error("FOREIGN KEY constraint failed"), GENERAL),
        (error("UNIQUE constraint failed: catalog_product.name"), GENERAL),
        (error("UNIQUE constraint failed: other.sku"), GENERAL),
        (error('duplicate key value: "product_sku_unique" at db1.internal'), GENERAL),
        (error(), GENERAL),
        (IntegrityError("without a cause"), GENERAL),
    ],
    ids=lambda value: str(value)[:50],
)
def test_it_says_the_models_sentence_or_a_general_one(exc, sentence):
    assert explain(exc) == sentence
