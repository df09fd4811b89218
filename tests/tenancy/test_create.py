"""``tenants create``: from nothing to a tenant that its owner can use."""

from __future__ import annotations

import io
import sys

import pytest
import yaml
from django.core.management import CommandError
from django.test import override_settings

from catalog.models import Category
from tenancy.compiled import Terms
from tenancy.context import tenant_context
from tenancy.live import LiveRegistry
from tenancy.testing import databases
from tests.tenancy.command import tenants
from users.models import Membership, User

pytestmark = databases("control", "acme", transaction=True)


@pytest.fixture
def file(tmp_path):
    """A tenants.yaml that the process follows."""
    file = tmp_path / "tenants.yaml"
    file.write_text("# ours\nversion: 1\ntenants:\n  first: {name: First, url: 'sqlite:///first.sqlite3'}\n")
    terms = Terms(file.name, production=False, control=None, secret="x")
    source = LiveRegistry(file, terms, tmp_path / "cache")
    with override_settings(TENANTS_FILE=file, TENANCY_REGISTRY=source, TENANCY_CACHE_DIR=tmp_path / "cache"):
        yield file


def create(*arguments):
    return tenants("create", *arguments)


ACME = ("acme", "--name", "Acme", "--url", "sqlite:///data/acme.sqlite3")


def test_it_adds_the_entry_makes_the_database_and_the_owner(file):
    code, out, err = create(*ACME, "--label", "plan=gold", "--owner", "Gavin@Example.com")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "acme: added to tenants.yaml."
    assert out.splitlines()[-1] == "acme: ready."
    assert yaml.safe_load(file.read_text())["tenants"]["acme"]["labels"] == {"plan": "gold"}
    with tenant_context("acme"):
        Category.objects.create(name="first")
    membership = Membership.objects.get(tenant_id="acme")
    assert (membership.role, membership.user.email_canonical) == ("owner", "gavin@example.com")
    assert not membership.user.has_usable_password()


def test_it_is_safe_to_run_twice(file):
    create(*ACME, "--owner", "gavin@example.com")
    text = file.read_text()
    code, out, _ = create(*ACME, "--owner", "gavin@example.com")
    assert code == 0
    assert out.splitlines() == [
        "acme: its database was ready.",
        "acme: gavin@example.com is its owner.",
        "acme: ready.",
    ]
    assert file.read_text() == text
    assert User.objects.count() == Membership.objects.count() == 1


def test_somebody_who_is_known_becomes_the_owner_and_keeps_the_password(file):
    User.objects.create_user("gavin@example.com", "correct-horse-battery")
    create(*ACME, "--owner", "gavin@example.com")
    assert User.objects.get().check_password("correct-horse-battery")


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("first", "--name", "Other", "--url", "sqlite:///x.sqlite3"), "has an entry already", 1),
        (("acme", "--name", "Acme", "--url", "sqlite:///first.sqlite3"), "the same database as", 1),
        (("Acme", "--name", "Acme", "--url", "sqlite:///x.sqlite3"), "an id has 2 to 40", 1),
        (("acme", "--name", "Acme", "--server", "db1.internal"), "ACME_DB_PASSWORD", 1),
        (("acme", "--name", "Acme", "--server", "db1/x?y"), "is no HOST", 2),
        (("acme", "--name", "Acme"), "Give --url or --server; there is no terminal", 2),
        (("acme",), "Give --name", 2),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_changed(file, arguments, words, code):
    before = file.read_text()
    with pytest.raises(CommandError, match=words) as raised:
        create(*arguments)
    assert raised.value.returncode == code
    assert file.read_text() == before
    assert not (file.parent / "x.sqlite3").exists()


def test_an_address_that_is_none_is_told(file):
    with pytest.raises(CommandError, match="'nobody': Enter a valid email address"):
        create(*ACME, "--owner", "nobody")
    assert not Membership.objects.exists()


def test_at_a_terminal_it_asks_for_what_is_missing(file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("acme\n\nAcme\n\n"))
    code, _, _ = create()
    assert code == 0
    entry = yaml.safe_load(file.read_text())["tenants"]["acme"]
    assert entry == {"name": "Acme", "url": "sqlite:///var/tenants/acme.sqlite3"}
