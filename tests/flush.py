"""What Django makes again after each test that commits: content types and permissions.

It takes longer than most such tests and gives the same rows every time: made once, and copied from then on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.contrib.contenttypes.models import ContentType
from django.core.management.sql import emit_post_migrate_signal, sql_flush
from django.db import connections, transaction
from django.test import TransactionTestCase

from tenancy.audit import append_only
from tests.settings import ENGINE


def insertion(table: str, rows: list[tuple[Any, ...]]) -> tuple[str, list[Any]]:
    """The statement, and its parameters, that puts rows back as they were read."""
    row = f"({', '.join(['%s'] * len(rows[0]))})"
    return f'INSERT INTO "{table}" VALUES {", ".join([row] * len(rows))}', [*itertools.chain(*rows)]


class Remembered:
    """In the place of ``emit_post_migrate_signal``, for a database that was just emptied."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, list[tuple[Any, ...]]]] = {}

    def __call__(self, verbosity: int, interactive: bool, alias: str) -> None:
        if alias not in self.rows:
            emit_post_migrate_signal(verbosity, interactive, alias)
            self.rows[alias] = dict(self.read(alias))
            return
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            for table, rows in self.rows[alias].items():
                cursor.execute(*insertion(table, rows))
        ContentType.objects.clear_cache()

    def read(self, alias: str) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        tables = connections[alias].introspection.django_table_names(only_existing=True, include_views=False)
        with connections[alias].cursor() as cursor:
            for table in tables:
                cursor.execute(f'SELECT * FROM "{table}"')
                if rows := cursor.fetchall():
                    yield table, rows


def flush_statements(style: Any, connection: Any, **options: Any) -> list[str]:
    """The statements that empty a database, in place of ``sql_flush``: the audit trail refuses those.

    PostgreSQL truncates each table into a new file; of the few rows of a test deleting is many times faster.
    """
    if connection.vendor == "postgresql":
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        deletes = [f'DELETE FROM "{table}"' for table in tables]
        # In its transaction neither foreign keys nor triggers are asked; only a superuser may. All in one
        # message: most of the time of twenty is their way.
        return ["; ".join(["SET LOCAL session_replication_role = replica", *deletes])]
    statements: list[str] = sql_flush(style, connection, **options)
    if not any(append_only.TABLE in statement for statement in statements):
        return statements
    return [*append_only.RELEASE["sqlite"], *statements, *append_only.PROTECT["sqlite"]]


def must_be_closed(case: TransactionTestCase) -> bool:
    """Whether all connections are closed after a test that commits, as Django does for fear of what a
    rollback undid of a session.

    PostgreSQL is told outside of transactions, and a new session is its dearest work here. After a test that
    left a transaction open none is kept: the flush's own setting would last as long.
    """
    return ENGINE != "postgresql" or not all(
        connection.get_autocommit() and not connection.in_atomic_block and connection.is_idle()
        for connection in connections.all(initialized_only=True)
        if connection.connection is not None
    )


@contextmanager
def remembered() -> Iterator[None]:
    flush = "django.core.management.commands.flush"
    with (
        mock.patch(f"{flush}.emit_post_migrate_signal", Remembered()),
        mock.patch(f"{flush}.sql_flush", flush_statements),
        mock.patch.object(TransactionTestCase, "_should_reload_connections", must_be_closed),
    ):
        yield
