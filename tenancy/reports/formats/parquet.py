"""Parquet: the tenants' rows, for tools that read columns. The coverage is in the file's metadata.

Written by pyarrow, which is installed for it only (``pip install pyarrow``).
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from tenancy.reports.collected import Collected
from tenancy.reports.columns import Column
from tenancy.reports.merges import Distinct
from tenancy.reports.report import Row

#: Rows in one group of the file, and in memory.
GROUP = 20_000
#: Digits of money.
DIGITS = 38


def _library() -> Any:
    try:
        import pyarrow  # late: an extra, of a hundred megabytes
        import pyarrow.parquet
    except ImportError as exc:
        raise ImproperlyConfigured(
            "--format parquet needs the package 'pyarrow'; run `pip install pyarrow`."
        ) from exc
    return pyarrow


def write(found: Collected, stream: Any, *, totals_only: bool = False) -> None:
    """Columns ``tenant`` and the report's, or with ``totals_only`` those of the totals. ``coverage``, in the
    metadata, is JSON. Raises ``ValueError`` for a number that no column of the format can hold."""
    arrow = _library()
    columns = found.totals.columns if totals_only else found.report.columns
    fields = [arrow.field(column.name, _type(arrow, column, merged=totals_only)) for column in columns]
    if not totals_only:
        fields.insert(0, arrow.field("tenant", arrow.string(), nullable=False))
    schema = arrow.schema(fields, metadata={"coverage": json.dumps(found.coverage.as_facts())})
    rows = iter(found.totals.rows()) if totals_only else _with_tenant(found)
    with arrow.parquet.ParquetWriter(stream.buffer, schema) as writer:
        while group := [row for _, row in zip(range(GROUP), rows, strict=False)]:
            arrays = [
                arrow.array(values, type=field.type)
                for values, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


def _with_tenant(found: Collected) -> Iterator[Row]:
    columns = found.report.columns
    for tenant_id, row in found.rows():
        yield (tenant_id, *(_plain(column, value) for column, value in zip(columns, row, strict=True)))


def _plain(column: Column, value: Any) -> Any:
    """Of what is merged by how many differ, a row has all of its values, in a list."""
    if isinstance(column.merge, Distinct) and value is not None and not isinstance(value, tuple):
        return [value]
    return list(value) if isinstance(value, tuple) else value


def _type(arrow: Any, column: Column, *, merged: bool) -> Any:
    kind = column.result_type if merged else column.kind
    found = {
        str: arrow.string(),
        int: arrow.int64(),
        Decimal: arrow.decimal128(DIGITS, column.places),
        float: arrow.float64(),
        bool: arrow.bool_(),
        datetime.date: arrow.date32(),
        datetime.datetime: arrow.timestamp("us", tz="UTC"),
    }[kind]
    return arrow.list_(found) if isinstance(column.merge, Distinct) and not merged else found
