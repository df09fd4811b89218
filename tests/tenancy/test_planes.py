"""The two planes."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, connections, transaction

from tenancy.exceptions import NoDefaultDatabase
from tenancy.planes import CONTROL_ALIAS, Plane, plane_of_alias, plane_of_app


@pytest.mark.parametrize(
    ("alias", "plane"),
    [
        ("control", Plane.CONTROL),
        ("acme", Plane.TENANT),
        ("not-yet-in-the-file", Plane.TENANT),
        ("default", None),
        ("Acme", None),
        ("acme\n", None),
        ("a", None),
        ("a" * 41, None),
        ("__no_db__", None),
        ("", None),
    ],
)
def test_an_alias_has_one_plane_or_none(alias, plane):
    assert plane_of_alias(alias) is plane


def test_an_app_is_the_tenants_only_when_it_is_listed():
    planes = {config.label: plane_of_app(config.label) for config in apps.get_app_configs()}
    assert {label for label, plane in planes.items() if plane is Plane.TENANT} == set(settings.TENANT_APPS)
    assert planes["users"] is planes["auth"] is Plane.CONTROL


def test_there_is_no_default_database():
    assert CONTROL_ALIAS in settings.DATABASES
    assert connections["default"].vendor == "unknown"


@pytest.mark.parametrize(
    "use",
    [
        lambda: transaction.atomic().__enter__(),
        lambda: transaction.on_commit(print),
        lambda: connection.cursor(),
        lambda: connections["default"].ensure_connection(),
    ],
    ids=["atomic", "on_commit", "connection", "connections"],
)
def test_whoever_uses_it_is_told_what_to_use(use):
    with pytest.raises(
        NoDefaultDatabase, match=r"no default database.*tenant_atomic\(\).*connections\[alias\]"
    ):
        use()
