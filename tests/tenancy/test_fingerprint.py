"""A schema's fingerprint: the same where schemas are alike, another for every change, and in words which."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tenancy.connections import maintenance
from tenancy.fingerprint import differences, fingerprint, read_parts
from tenancy.testing import databases
from tests.settings import ENGINE

POSTGRESQL = ENGINE == "postgresql"
ALL = ["acme", "globex", "initech"]

pytestmark = databases(*ALL, transaction=True)


def execute(alias, *statements):
    with maintenance(alias) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def changed(alias, *statements, undo):
    execute(alias, *statements)
    try:
        yield
    finally:
        execute(alias, *undo)


def of(alias):
    with maintenance(alias) as connection:
        return fingerprint(connection)


def parts_of(alias):
    with maintenance(alias) as connection:
        return read_parts(connection)


MADE = (
    "CREATE TABLE probe (id integer NOT NULL PRIMARY KEY, price numeric(10,2) DEFAULT 1, "
    "CONSTRAINT dear CHECK (price > 0))"
)
GONE = ["DROP TABLE probe"]

CHANGES = {
    "column": (
        MADE.replace("DEFAULT 1,", "DEFAULT 1, extra integer,"),
        "column probe.extra is not in the others",
    ),
    "type": (
        MADE.replace("numeric(10,2)", "numeric(12,2)"),
        "column probe.price is 'numeric(12,2) DEFAULT 1'",
    ),
    "nullability": (MADE.replace("DEFAULT 1", "NOT NULL DEFAULT 1"), "column probe.price is '"),
    "default": (
        MADE.replace("DEFAULT 1", "DEFAULT 2"),
        "DEFAULT 2' and in the others 'numeric(10,2) DEFAULT 1'",
    ),
    "constraint": (MADE.replace("price > 0", "price > 1"), "constraint dear is "),
    "constraint's name": (MADE.replace("dear", "cheap"), "constraint cheap is not in the others"),
}


@pytest.fixture
def probe():
    with changed("acme", MADE, undo=GONE):
        yield


def test_tenants_that_were_migrated_alike_have_one_whatever_their_schema_is_called():
    assert len({of(alias) for alias in ALL}) == 1
    assert parts_of("acme") == parts_of("initech")
    assert differences(parts_of("acme"), parts_of("initech")) == []


def test_it_is_made_of_every_table_with_what_belongs_to_it():
    parts = parts_of("initech")
    assert {
        ("table", "catalog_product", "catalog_product"),
        ("column", "catalog_product", "price"),
        ("constraint", "catalog_product", "product_sku_unique"),
        ("constraint", "catalog_product", "product_price_not_negative"),
        ("index", "catalog_product", "product_by_price"),
        ("column", "tenancy_stamp", "tenant_id"),
    } <= parts.keys()
    assert not [definition for definition in parts.values() if "initech" in definition]


@pytest.mark.parametrize(("made", "words"), CHANGES.values(), ids=CHANGES)
def test_every_change_of_a_table_shows(probe, made, words):
    with changed("initech", made, undo=GONE):
        assert of("acme") != of("initech")
        found = differences(parts_of("initech"), parts_of("acme"))
    assert words in " | ".join(found)


def test_without_a_change_nothing_shows(probe):
    with changed("initech", MADE, undo=GONE):
        assert of("acme") == of("initech")


def test_the_order_of_columns_and_the_spaces_do_not_show(probe):
    other = (
        "CREATE  TABLE probe (price numeric(10,2)\n DEFAULT 1, id integer NOT NULL PRIMARY KEY,\n"
        " CONSTRAINT dear CHECK (price > 0))"
    )
    with changed("initech", other, undo=GONE):
        assert of("acme") == of("initech")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE INDEX extra ON probe (price)", "index extra is not in the others"),
        ("CREATE VIEW extra AS SELECT id FROM probe", "view extra is not in the others"),
        ("CREATE TABLE extra (a integer, b integer)", "table extra is not in the others"),
    ],
)
def test_what_is_beside_a_table_shows_once(probe, statement, words):
    undo = [f"DROP {statement.split()[1]} extra", *GONE]
    with changed("initech", MADE, statement, undo=undo):
        assert of("acme") != of("initech")
        assert differences(parts_of("initech"), parts_of("acme")) == [words]
        missing = differences(parts_of("acme"), parts_of("initech"))
    assert missing == [words.replace("is not in the others", "is missing")]


def test_a_trigger_shows(probe):
    if POSTGRESQL:
        made = (
            "CREATE TRIGGER extra BEFORE UPDATE ON probe FOR EACH ROW "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        )
    else:
        made = "CREATE TRIGGER extra AFTER UPDATE ON probe BEGIN SELECT 1; END"
    with changed("initech", MADE, made, undo=GONE):
        assert differences(parts_of("initech"), parts_of("acme")) == ["trigger extra is not in the others"]


@pytest.mark.parametrize("statement", ["ANALYZE", "DELETE FROM probe", "INSERT INTO probe (id) VALUES (1)"])
def test_rows_and_statistics_do_not_show(probe, statement):
    before = of("acme")
    execute("acme", statement)
    assert of("acme") == before


def test_long_definitions_are_not_repeated():
    part = ("view", "v", "v")
    assert differences({part: "a" * 61}, {part: "b"}) == ["view v differs"]


if POSTGRESQL:

    def test_an_index_that_was_left_invalid_shows(probe):
        made = "CREATE INDEX extra ON probe (price)"
        with changed("acme", made, undo=["DROP INDEX extra"]), changed("initech", MADE, made, undo=GONE):
            assert of("acme") == of("initech")
            execute(
                "initech",
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'extra'::regclass",
            )
            assert of("acme") != of("initech")

    def test_a_type_in_public_is_called_the_same_in_every_schema():
        execute("acme", "CREATE DOMAIN public.money_ AS numeric", "CREATE TABLE probe (a public.money_)")
        execute("initech", "CREATE DOMAIN public.money_ AS numeric", "CREATE TABLE probe (a public.money_)")
        try:
            assert of("acme") == of("initech")
        finally:
            for alias in ("acme", "initech"):
                execute(alias, "DROP TABLE probe", "DROP DOMAIN public.money_")

    def test_looking_leaves_the_search_path_as_it_was():
        with maintenance("initech") as connection, connection.cursor() as cursor:
            fingerprint(connection)
            cursor.execute("SHOW search_path")
            assert cursor.fetchone() == ("initech",)

else:

    def test_names_and_texts_with_commas_and_brackets_are_taken_apart():
        made = (
            """CREATE TABLE probe ("a, (b" text DEFAULT '),(', [c d] int, `e` int CHECK (e IN (1, 2)), """
            "UNIQUE ([c d], e)) STRICT"
        )
        with changed("acme", made, undo=GONE):
            parts = {part[0::2]: text for part, text in parts_of("acme").items() if part[1] == "probe"}
        assert parts == {
            ("table", "probe"): "STRICT",
            ("column", "a, (b"): "text DEFAULT '),('",
            ("column", "c d"): "int",
            ("column", "e"): "int CHECK (e IN (1, 2))",
            ("constraint", "UNIQUE ([c d], e)"): "UNIQUE ([c d], e)",
        }
