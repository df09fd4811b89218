"""Connections of one alias, opened for a purpose and closed after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from django.db import connections

from tenancy.backends.wrapper import TenancyWrapper

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def close(alias: str) -> None:
    """Close this thread's connection to ``alias``, unless an outer transaction (a test) still owns it."""
    connection = connections[alias]
    if not connection.in_atomic_block:
        connection.close()


@contextmanager
def maintenance(alias: str) -> Iterator[BaseDatabaseWrapper]:
    """A connection that may make its SQLite file and whose statements have no time limit.

    For migrations and provisioning. It is opened new and closed after, so that its settings reach
    nobody else.
    """
    connection = connections[alias]
    wrapper = cast(TenancyWrapper, connection)
    close(alias)
    wrapper.maintenance = True
    try:
        yield connection
    finally:
        wrapper.maintenance = False
        close(alias)
