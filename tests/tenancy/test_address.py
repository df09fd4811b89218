"""A database as it is written: its secrets are filled in when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db.utils import ConnectionHandler

from tenancy.address import Address, completed
from tenancy.exceptions import DatabaseURLError

SECRET = "hunter2-s3cret"
ENVIRON = {"PW": SECRET, "URL": f"postgres://app:{SECRET}@db1/acme", "FILE": "SQLite:///a.sqlite3"}
FOLDER = Path("/srv/freehold")


def address(text, *, from_environment=False, environ=ENVIRON):
    return Address(text, from_environment, FOLDER, environ)


def test_placeholders_are_filled_in_from_the_environment():
    assert address("postgres://app:${PW}@db1/acme").resolve()["PASSWORD"] == SECRET
    assert address("URL", from_environment=True).resolve()["PASSWORD"] == SECRET


def test_what_comes_from_the_environment_is_not_expanded_again():
    environ = ENVIRON | {"URL": "postgres://app:${PW}@db1/acme"}
    with pytest.raises(DatabaseURLError, match="placeholder"):
        address("URL", from_environment=True, environ=environ).resolve()


@pytest.mark.parametrize("environ", [{}, {"URL": ""}])
def test_a_variable_that_is_missing_is_named(environ):
    with pytest.raises(DatabaseURLError, match="environment variable URL is unset or empty; set it"):
        address("URL", from_environment=True, environ=environ).resolve()


def test_production_refuses_a_password_in_the_file_only():
    with pytest.raises(DatabaseURLError, match="plain text"):
        address(f"postgres://app:{SECRET}@db1/acme").resolve(production=True)
    assert address("URL", from_environment=True).resolve(production=True)["PASSWORD"] == SECRET


@pytest.mark.parametrize(
    ("text", "from_environment", "expected"),
    [
        ("sqlite:///a.sqlite3", False, True),
        ("SQLITE:///a.sqlite3", False, True),
        ("postgres://db1/acme", False, False),
        ("FILE", True, True),
        ("URL", True, False),
        ("MISSING", True, False),
    ],
)
def test_only_a_file_depends_on_the_folder(text, from_environment, expected):
    assert address(text, from_environment=from_environment).is_in_folder() is expected


def test_it_shows_neither_the_url_nor_the_environment():
    for one in (address("postgres://app:${PW}@db1/acme"), address("URL", from_environment=True)):
        assert repr(one) == f"Address(from_environment={one.from_environment})"


@pytest.mark.parametrize("url", ["postgres://app:${PW}@db1/acme", "sqlite:///a.sqlite3"])
def test_the_settings_lack_nothing_that_django_fills_in(url):
    """Django walks no tenant: it finds nothing to add when it is made to."""
    settings = address(url).resolve()
    before = {name: dict(value) if isinstance(value, dict) else value for name, value in settings.items()}
    handler = ConnectionHandler({"default": {}, "acme": settings})
    assert handler.settings["acme"] is settings
    assert settings == before


def test_what_is_there_is_kept():
    done = completed({"AUTOCOMMIT": False, "USER": "app", "TEST": {"NAME": "x", "DEPENDENCIES": []}})
    assert (done["AUTOCOMMIT"], done["USER"]) == (False, "app")
    assert done["TEST"]["NAME"] == "x"
    assert done["TEST"]["DEPENDENCIES"] == []
    assert done["TEST"]["MIGRATE"] is True
