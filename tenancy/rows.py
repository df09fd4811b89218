"""Rows of the control plane that are added by the hundred: what a run over the fleet did to each tenant.

``bulk_create()`` makes an object of each, and has every value of it looked at by its field and by the driver.
Beside a small migration that was a twentieth of the work. Said as one JSON text, which PostgreSQL takes apart
by itself, they take a third of the time.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connections, models

from tenancy.planes import CONTROL_ALIAS
from tenancy.transactions import control_atomic

#: Rows that one statement adds.
_TOGETHER = 500


def add_rows(
    model: type[models.Model], rows: Sequence[Mapping[str, Any]], *, ignore_conflicts: bool = False
) -> None:
    """Add rows to a table of the control plane: all of them, or none and what the database raises.

    A row has values by ``attname`` (``run_id``, not ``run``); what it leaves out is the field's default, and
    an automatic key is never in it. Values are None, text, finite numbers of the column's kind, times with a
    zone, UUIDs and, for a JSON field, what JSON holds. With ``ignore_conflicts`` a row that is there already
    is left out. Raises ``TypeError`` for a name that is no field's, and for an object of another kind. Where
    there are no rows nothing is asked.
    """
    if not rows:
        return
    with control_atomic():
        for start in range(0, len(rows), _TOGETHER):
            _add(model, rows[start : start + _TOGETHER], ignore_conflicts)


def _add(model: type[models.Model], rows: Sequence[Mapping[str, Any]], ignore_conflicts: bool) -> None:
    connection = connections[CONTROL_ALIAS]
    if connection.vendor != "postgresql":
        objects = [model(**row) for row in rows]
        model._default_manager.using(CONTROL_ALIAS).bulk_create(objects, ignore_conflicts=ignore_conflicts)
        return
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    if unknown := set().union(*rows) - {field.attname for field in fields}:
        raise TypeError(f"{model.__name__} has no {', '.join(sorted(unknown))} to be given.")
    whole = [
        {
            field.column: row[field.attname] if field.attname in row else field.get_default()
            for field in fields
        }
        for row in rows
    ]
    table = connection.ops.quote_name(model._meta.db_table)
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    with connection.cursor() as cursor:
        # https://www.postgresql.org/docs/current/functions-json.html: each value is read as its column reads
        # text, so one that is too long is refused and not cut off, as it would be by a cast.
        cursor.execute(
            f"INSERT INTO {table} ({columns})"
            f" SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s)"
            + (" ON CONFLICT DO NOTHING" if ignore_conflicts else ""),
            [json.dumps(whole, default=_as_text)],
        )


def _as_text(value: Any) -> str:
    """Of what JSON has no word for. Anything else is a mistake, which must not become the text of itself."""
    if isinstance(value, datetime | uuid.UUID):
        return str(value)
    raise TypeError(f"A row cannot hold a {type(value).__name__}.")
