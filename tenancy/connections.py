"""Connections of one alias, opened for a purpose and closed after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from django.core.handlers.asgi import ASGIHandler
from django.db import connections

from tenancy.backends.wrapper import TenancyWrapper

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def close(alias: str) -> None:
    """Close this thread's connection to ``alias``, unless an outer transaction (a test) still owns it."""
    connection = connections[alias]
    if not connection.in_atomic_block:
        connection.close()


def close_after_request(sender: Any, **kwargs: Any) -> None:
    """Receives ``request_finished``. Under ASGI each request has a thread of its own, which ends with it: its
    connections would serve nobody again, and stay open until they are collected as garbage."""
    if isinstance(sender, type) and issubclass(sender, ASGIHandler):
        for connection in connections.all(initialized_only=True):
            close(connection.alias)


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
