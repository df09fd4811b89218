"""The alias "default", which is no database: Django's dummy backend, in words that name the way out."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db.backends.dummy import base

from tenancy.exceptions import NoDefaultDatabase


def refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise NoDefaultDatabase


class DatabaseWrapper(base.DatabaseWrapper):
    # Read in Django 5.2.19 (``django/db/backends/dummy/base.py``): what complains there refuses here.
    _cursor = ensure_connection = _commit = _savepoint_commit = _set_autocommit = refuse
