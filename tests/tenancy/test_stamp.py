"""What a database says of itself, and that no row of its other tables is taken for its stamp."""

from __future__ import annotations

import pytest
from django.db import connections

from tenancy import stamp
from tenancy.exceptions import TenantMigrating
from tenancy.stamp import History
from tenancy.testing import databases
from tests.settings import ENGINE

INITIAL = ("catalog", "0001_initial")
NAMELESS = ("acme", None)


@pytest.mark.parametrize(
    ("rows", "owners", "schema"),
    [
        ([("acme", None, "public"), (*INITIAL, None)], {"acme"}, "public"),
        ([("acme", None, ""), (*INITIAL, None)], {"acme"}, None),
        ([(*INITIAL, None)], set(), None),
        ([(*NAMELESS, None), (*INITIAL, None)], set(), None),
        (
            [("acme", None, "public"), ("globex", None, "public"), (*INITIAL, None)],
            {"acme", "globex"},
            "public",
        ),
    ],
    ids=["a schema", "no schema", "an empty stamp", "a migration without a name", "two owners"],
)
def test_the_stamp_is_told_from_migrations(rows, owners, schema):
    assert History.of(rows) == History(frozenset(owners), schema, frozenset({INITIAL}))


@databases("acme")
def test_a_migration_without_a_name_is_no_stamp(acme):
    with acme.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_stamp")
        if ENGINE == "postgresql":
            cursor.execute("ALTER TABLE django_migrations ALTER COLUMN name DROP NOT NULL")
        else:  # SQLite alters no column
            cursor.execute("CREATE TABLE loose AS SELECT * FROM django_migrations")
            cursor.execute("DROP TABLE django_migrations")
            cursor.execute("ALTER TABLE loose RENAME TO django_migrations")
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('acme', NULL, CURRENT_TIMESTAMP)"
        )
    with pytest.raises(TenantMigrating, match="empty stamp"):
        stamp.shake_hands(acme)


@pytest.fixture
def acme():
    return connections["acme"]
