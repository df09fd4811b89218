"""What Django makes again after each test that commits: content types and permissions.

It takes longer than most such tests and gives the same rows every time: made once, and copied from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.contrib.contenttypes.models import ContentType
from django.core.management.sql import emit_post_migrate_signal
from django.db import connections, transaction


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
                row = f"({', '.join(['%s'] * len(rows[0]))})"
                values = [value for row in rows for value in row]
                cursor.execute(f'INSERT INTO "{table}" VALUES {", ".join([row] * len(rows))}', values)
        ContentType.objects.clear_cache()

    def read(self, alias: str) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        tables = connections[alias].introspection.django_table_names(only_existing=True, include_views=False)
        with connections[alias].cursor() as cursor:
            for table in tables:
                cursor.execute(f'SELECT * FROM "{table}"')
                if rows := cursor.fetchall():
                    yield table, rows


@contextmanager
def remembered() -> Iterator[None]:
    with mock.patch("django.core.management.commands.flush.emit_post_migrate_signal", Remembered()):
        yield
