"""One SQL query, asked of one tenant after the other, that changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlparse

from tenancy.connections import reading
from tenancy.exceptions import TenancyError
from tenancy.tenant import Tenant


class QueryRefused(TenancyError, ValueError):
    """The text is not one statement, or answers with no rows."""


@dataclass(frozen=True)
class Answer:
    """``more`` says that there were more rows than were asked for."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool = False


def require_one_statement(sql: str) -> str:
    """``sql`` without what ends it. Raises ``QueryRefused`` for none, for several, and for one that does not
    begin as a query does: on SQLite a PRAGMA may change the whole process."""
    statements = [statement for statement in sqlparse.split(sql) if statement.strip(" \t\r\n;")]
    if len(statements) != 1:
        raise QueryRefused(f"Ask one statement, not {len(statements)}.")
    text = str(sqlparse.format(statements[0], strip_comments=True)).strip(" \t\r\n;")
    if not text.lower().startswith(("select", "with", "values", "table", "(")):
        raise QueryRefused("Ask with SELECT, WITH, VALUES or TABLE.")
    return str(statements[0]).rstrip(" \t\r\n;")


def ask(tenant: Tenant, sql: str, limit: int, *, seconds: float) -> Answer:
    """At most ``limit`` rows of a query that may take ``seconds``, in the tenant's context.

    Nothing can be written: of the session, and not of a transaction, which a statement that is hidden in
    another could end.

    Raises ``QueryRefused``, and the database's own errors.
    """
    with (
        reading(tenant, limit=seconds, from_replica=False) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
        if cursor.description is None:
            raise QueryRefused("it answers with no rows; ask with SELECT")
        rows = cursor.fetchmany(limit + 1)
        columns = tuple(column[0] for column in cursor.description)
    return Answer(columns, [tuple(row) for row in rows[:limit]], more=len(rows) > limit)
