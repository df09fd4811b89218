"""Connections for a purpose, closed after it."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connections, transaction

from tenancy.connections import close, maintenance
from tenancy.testing import databases


def is_open(alias):
    return connections[alias].connection is not None


@databases("acme", transaction=True)
def test_close_closes():
    connections["acme"].ensure_connection()
    close("acme")
    assert not is_open("acme")
    close("acme")
    assert not is_open("acme")


@databases("acme", transaction=True)
def test_close_leaves_a_connection_that_a_transaction_still_owns():
    with transaction.atomic(using="acme"):
        close("acme")
        assert is_open("acme")


@databases("acme", transaction=True)
def test_maintenance_has_a_connection_of_its_own_and_closes_it():
    connections["acme"].ensure_connection()
    everyday = connections["acme"].connection
    with maintenance("acme") as connection:
        assert connection is connections["acme"]
        assert connection.maintenance
        connection.ensure_connection()
        assert connection.connection is not everyday
    assert not connection.maintenance
    assert not is_open("acme")


@databases("acme", transaction=True)
def test_maintenance_ends_with_an_exception_too():
    with pytest.raises(DatabaseError), maintenance("acme") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM django_migrations")
    assert not connections["acme"].maintenance
    assert not is_open("acme")
