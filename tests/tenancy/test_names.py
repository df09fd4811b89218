"""Names of hosts: nobody waits long for one."""

from __future__ import annotations

import socket
import threading
import time
from unittest import mock

import pytest

from tenancy import names as names_module
from tenancy.names import Names, NameUnknown


class Resolver:
    """The system's, as a stand-in: it answers when it is let."""

    def __init__(self):
        self.known = {"db.example": ["10.0.0.1", "10.0.0.1", "10.0.0.2"]}
        self.asked = []
        self.answers = threading.Event()
        self.answers.set()

    def getaddrinfo(self, host, port, **how):
        if how["flags"] & socket.AI_NUMERICHOST:
            if not host[0].isdigit():
                raise socket.gaierror
            return [(2, 1, 6, "", (host, 0))]
        self.asked.append(host)
        assert self.answers.wait(10)
        if host not in self.known:
            raise socket.gaierror
        return [(2, 1, 6, "", (address, 0)) for address in self.known[host]]


@pytest.fixture
def resolver():
    resolver = Resolver()
    with (
        mock.patch.object(names_module.socket, "getaddrinfo", resolver.getaddrinfo),
        mock.patch.object(names_module, "PATIENCE", 0.1),
    ):
        yield resolver
        resolver.answers.set()


def until_asked(resolver, number):
    deadline = time.monotonic() + 5
    while len(resolver.asked) < number:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_name_has_each_of_its_addresses_once_and_is_asked_for_once(resolver):
    names = Names()
    for _ in range(3):
        assert names.addresses("db.example") == ["10.0.0.1", "10.0.0.2"]
    assert resolver.asked == ["db.example"]


def test_an_address_stands_for_itself(resolver):
    assert Names().addresses("10.1.2.3") == ["10.1.2.3"]
    assert resolver.asked == []


def test_a_name_that_nobody_knows_is_asked_for_again(resolver):
    names = Names()
    for _ in range(2):
        with pytest.raises(NameUnknown):
            names.addresses("nowhere.example")
    resolver.known["nowhere.example"] = ["10.0.0.9"]
    assert names.addresses("nowhere.example") == ["10.0.0.9"]


def test_a_resolver_that_says_nothing_costs_a_moment_and_one_thread(resolver):
    names = Names()
    resolver.answers.clear()
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(NameUnknown):
            names.addresses("db.example")
    assert time.monotonic() - started < 2
    assert resolver.asked == ["db.example"]
    resolver.answers.set()
    names._asking["db.example"].join(5)
    assert names.addresses("db.example") == ["10.0.0.1", "10.0.0.2"]


def test_what_it_stood_for_a_moment_ago_is_used_while_it_is_asked_for_again(resolver, monkeypatch):
    names = Names()
    names.addresses("db.example")
    monkeypatch.setattr(names_module, "FRESH", 0.0)
    resolver.answers.clear()
    resolver.known["db.example"] = ["10.0.0.3"]
    started = time.monotonic()
    assert names.addresses("db.example") == ["10.0.0.1", "10.0.0.2"]
    assert time.monotonic() - started < 0.09
    until_asked(resolver, 2)
    resolver.answers.set()
    names._asking["db.example"].join(5)
    monkeypatch.setattr(names_module, "FRESH", 30.0)
    assert names.addresses("db.example") == ["10.0.0.3"]


def test_what_it_stood_for_long_ago_is_not(resolver, monkeypatch):
    names = Names()
    names.addresses("db.example")
    monkeypatch.setattr(names_module, "STALE", 0.0)
    resolver.answers.clear()
    with pytest.raises(NameUnknown):
        names.addresses("db.example")


def test_a_forked_process_asks_anew(resolver):
    names = Names()
    resolver.answers.clear()
    with pytest.raises(NameUnknown):
        names.addresses("db.example")
    names.forget()
    resolver.answers.set()
    assert names.addresses("db.example") == ["10.0.0.1", "10.0.0.2"]
    assert resolver.asked == ["db.example", "db.example"]
