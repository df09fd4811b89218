"""A tenant: immutable to its users, and its databases worked out when somebody asks."""

from __future__ import annotations

import copy
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import MappingProxyType

import pytest
from django.db import OperationalError

from tenancy.address import Address
from tenancy.exceptions import DatabaseUnavailable, DatabaseURLError
from tenancy.tenant import Status, Tenant

SECRET = "hunter2-s3cret"
URL = "postgres://app:${PW}@db1.internal/acme"


class Written:
    """A database that counts how often it is worked out."""

    def __init__(self, error=None):
        self.error = error
        self.asked = 0

    def resolve(self):
        self.asked += 1
        if self.error:
            raise DatabaseURLError(self.error)
        return {"ENGINE": "tenancy.backends.postgresql", "NAME": f"number {self.asked}"}


@pytest.fixture
def environ():
    return {"PW": SECRET}


@pytest.fixture
def acme(environ):
    return Tenant("acme", "Acme", database=Address(URL, False, Path("/srv"), environ))


def test_a_database_is_worked_out_when_it_is_asked_for():
    written = Written()
    tenant = Tenant("acme", "Acme", database=written, direct=Written(), replica=None)
    assert written.asked == 0
    assert tenant.database["NAME"] == "number 1"
    assert tenant.direct["NAME"] == "number 1"
    assert tenant.replica is None
    assert tenant.engine == "postgresql"
    assert written.asked == 1


def test_it_is_one_dict_for_good_which_may_be_changed_in_place(acme):
    acme.database["NAME"] = "test_acme"
    suspended = replace(acme, status=Status.SUSPENDED)
    assert suspended.status is Status.SUSPENDED
    assert suspended.database is acme.database
    assert type(acme.database) is dict
    assert suspended.database["NAME"] == "test_acme"
    assert suspended.direct is None


def test_threads_that_ask_at_once_get_one_dict():
    for _ in range(50):
        tenant = Tenant("acme", "Acme", database=Written())
        barrier = threading.Barrier(8)

        def ask(tenant=tenant, barrier=barrier):
            barrier.wait()
            return tenant.database

        with ThreadPoolExecutor(8) as pool:
            found = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
        assert {id(one) for one in found} == {id(tenant.database)}
        assert found[0]["NAME"] == "number 1"


@pytest.mark.parametrize("given", [{"NAME": "x"}, MappingProxyType({"NAME": "x"})], ids=["dict", "mapping"])
def test_settings_may_be_given_as_they_are(given):
    assert Tenant("acme", "Acme", database=given).database == {"NAME": "x"}
    assert type(Tenant("acme", "Acme", database=given).database) is dict


def test_a_tenant_may_have_none_and_shares_none():
    one, two = Tenant("acme", "Acme"), Tenant("acme", "Acme")
    assert (one.database, one.direct, one.replica) == ({}, None, None)
    assert one.database is not two.database
    assert one.engine == ""


@pytest.mark.parametrize("field", ["name", "database", "direct", "replica"])
def test_nobody_changes_it(acme, field):
    with pytest.raises(FrozenInstanceError):
        setattr(acme, field, {})
    with pytest.raises(FrozenInstanceError):
        delattr(acme, field)


def test_it_shows_no_secret_before_or_after(acme):
    for _ in range(2):
        assert repr(acme).startswith("Tenant(id='acme', name='Acme'")
        for hidden in (SECRET, "db1", "PW"):
            assert hidden not in repr(acme)
            assert hidden not in repr(copy.copy(acme))
        assert acme.database["PASSWORD"] == SECRET


def test_databases_are_left_out_of_a_comparison(acme):
    assert acme == Tenant("acme", "Acme", database={"NAME": "other"})
    assert hash(acme) == hash(Tenant("acme", "Acme"))


def test_an_environment_that_changed_makes_the_database_unavailable_and_is_logged(acme, environ, caplog):
    del environ["PW"]
    with (
        caplog.at_level(logging.WARNING, logger="tenancy.registry"),
        pytest.raises(DatabaseUnavailable, match="environment variable PW is unset") as caught,
    ):
        acme.database  # noqa: B018
    assert caught.value.alias == "acme"
    assert isinstance(caught.value, OperationalError)
    assert "The database of 'acme' is unavailable" in caplog.text
    environ["PW"] = SECRET
    assert acme.database["PASSWORD"] == SECRET  # the next who asks
