"""Connections for a purpose, closed after it."""

from __future__ import annotations

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
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


@databases("control", "acme", transaction=True)
def test_what_a_request_opened_under_asgi_is_closed_after_it():
    """Its thread ends with it."""
    for alias in ("control", "acme"):
        connections[alias].ensure_connection()
    request_finished.send(sender=WSGIHandler)
    request_finished.send(sender=None)
    assert [is_open(alias) for alias in ("control", "acme")] == [True, True]
    request_finished.send(sender=ASGIHandler)
    assert [is_open(alias) for alias in ("control", "acme")] == [False, False]


@databases("acme", transaction=True)
def test_what_a_test_opened_around_a_request_is_left_open():
    with transaction.atomic(using="acme"):
        request_finished.send(sender=ASGIHandler)
        assert is_open("acme")
