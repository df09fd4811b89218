"""A script asks what the operations asked, and ends where it is answered otherwise."""

from __future__ import annotations

import pytest
from django.db import connections

from tenancy.connections import maintenance
from tenancy.script import Differs, Recording, Script, Statement
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
