"""A script asks what the operations asked, and ends where it is answered otherwise."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from django.db import connections

from tenancy.connections import maintenance
from tenancy.script import Differs, Recording, Script, Statement, asks_for_order
from tenancy.testing import databases

pytestmark = databases("acme", transaction=True)

MAKE, COUNT = Statement("CREATE TABLE noted (id integer)"), "SELECT count(*) FROM catalog_product"


def tables(connection):
    return connection.introspection.table_names()


def test_it_goes_on_where_the_answer_is_the_same():
    with maintenance("acme") as connection:
        Script([Statement(COUNT, None, [(0,)]), MAKE]).run(connection)
        assert "noted" in tables(connection)
        Script([Statement("DROP TABLE noted")]).run(connection)


def test_it_ends_before_the_next_statement_where_the_answer_is_another():
    with maintenance("acme") as connection:
        with pytest.raises(Differs):
            Script([Statement(COUNT, None, [(1,)]), MAKE]).run(connection)
        assert "noted" not in tables(connection)


TWO = "SELECT id, name FROM (SELECT 1 AS id, 'a' AS name UNION ALL SELECT 2, 'b' ORDER BY 1) AS two"
ROWS = [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("sql", "answer", "is_the_same"),
    [
        (TWO, ROWS, True),
        (TWO, ROWS[::-1], True),
        (f"{TWO} ORDER BY id", ROWS, True),
        (f"{TWO} ORDER BY id", ROWS[::-1], False),
        (f"{TWO} order  by id", ROWS[::-1], False),
        (TWO, [*ROWS, ROWS[0]], False),
        (TWO, [ROWS[0], ROWS[0]], False),
        (TWO, [(1, "b"), (2, "a")], False),
        (TWO, [("1", "a"), ("2", "b")], False),
        (TWO, [], False),
    ],
)
def test_another_order_is_another_answer_where_an_order_was_asked_for(sql, answer, is_the_same):
    with maintenance("acme") as connection, nullcontext() if is_the_same else pytest.raises(Differs):
        Script([Statement(sql, None, answer)]).run(connection)


@pytest.mark.parametrize(
    ("sql", "asks"),
    [
        ("SELECT array(SELECT name FROM a ORDER BY id), 'ORDER BY' -- ORDER BY", False),
        ("SELECT array_agg(name ORDER BY id) FROM (SELECT 1)", False),
        ("WITH a AS (SELECT 1 ORDER BY 1) SELECT * FROM a\nORDER\n\tBY 1", True),
        ("SELECT ')' FROM a ORDER BY 1", True),
        ("SELECT 1 ORDER /* of */ BY 1", True),
        ("SELECT 1; SELECT 2 order by 1", True),
        ("SELECT orders FROM a", False),
        (" (SELECT 1 ORDER BY 1)", True),
        (r"SELECT 1 FROM a WHERE b = '\' AND c = '(' ORDER BY 1", True),
        ("SELECT 1 UNION SELECT 2 ORDER BY 1 LIMIT 1", True),
    ],
)
def test_an_order_is_asked_for_outside_of_parentheses(sql, asks):
    assert asks_for_order(sql) is asks


def test_what_is_asked_outside_the_editor_is_noted_with_its_answer_and_what_it_orders_without():
    with maintenance("acme") as connection:
        recording = Recording(connection)
        with recording.listening(), connection.schema_editor(atomic=False) as editor:
            recording.attach(editor)
            editor.execute("CREATE TABLE noted (id integer)")
            with connection.cursor() as cursor:
                cursor.execute(COUNT)
                assert cursor.fetchall() == [(0,)]  # it is still the operation's to fetch
            editor.execute("DROP TABLE noted")
    noted = {statement.sql: statement.answer for statement in recording.script.statements}
    assert noted[COUNT] == [(0,)]
    assert noted["CREATE TABLE noted (id integer)"] is noted["DROP TABLE noted"] is None


@pytest.mark.parametrize("sql", ["SAVEPOINT mine", "ROLLBACK"])
def test_a_migration_that_ends_transactions_of_its_own_is_not_repeated(sql):
    with maintenance("acme") as connection:
        recording = Recording(connection)
        recording._in_editor = True
        recording._note(lambda *_: None, sql, None, False, {})
    assert recording.script is None
    assert connections["acme"].connection is None
