"""One SQL query, asked of one tenant after the other, that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlparse
from django.db import connections

from tenancy.exceptions import TenancyError
from tenancy.tenant import Tenant
from tenancy.transactions import atomic_on


class QueryRefused(TenancyError, ValueError):
    """The text is not one statement, or answers with no rows."""


@dataclass(frozen=True)
class Answer:
    """``more`` says that there were more rows than were asked for."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool = False


def require_one_statement(sql: str) -> str:
    """``sql`` without what ends it. Raises ``QueryRefused`` for none, and for several: the second could end
    the transaction that keeps the first from writing."""
    statements = [statement for statement in sqlparse.split(sql) if statement.strip(" \t\r\n;")]
    if len(statements) != 1:
        raise QueryRefused(f"Ask one statement, not {len(statements)}.")
    return str(statements[0]).rstrip(" \t\r\n;")


def ask(tenant: Tenant, sql: str, limit: int) -> Answer:
    """At most ``limit`` rows of a query, in the tenant's context and in a transaction that cannot write.

    Raises ``QueryRefused``, and the database's own errors.
    """
    with _reading(tenant.id), connections[tenant.id].cursor() as cursor:
        cursor.execute(sql)
        if cursor.description is None:
            raise QueryRefused("it answers with no rows; ask with SELECT")
        rows = cursor.fetchmany(limit + 1)
        columns = tuple(column[0] for column in cursor.description)
    return Answer(columns, [tuple(row) for row in rows[:limit]], more=len(rows) > limit)


@contextmanager
def _reading(alias: str) -> Iterator[None]:
    connection = connections[alias]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = ON")
        try:
            yield  # in no transaction: ours begin by taking the right to write
        finally:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA query_only = OFF")
    else:
        with atomic_on(alias):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
            yield
