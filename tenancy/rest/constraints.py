"""From a database's complaint about a constraint to the sentence its model has for it."""

from __future__ import annotations

import re

from django.apps import apps
from django.conf import settings
from django.db import Error
from django.db.models import BaseConstraint, Model, UniqueConstraint

_SQLITE_CHECK = re.compile(r"^CHECK constraint failed: (\w+)$")
_SQLITE_UNIQUE = re.compile(r"^UNIQUE constraint failed: (.+)$")


def explain(error: Error) -> str:
    """What to tell the client: the constraint's ``violation_error_message``, or a general sentence.

    Django's own message is not for clients: it names the constraint.
    """
    cause = error.__cause__
    name = getattr(getattr(cause, "diag", None), "constraint_name", None)
    message = str(cause)
    check = _SQLITE_CHECK.match(message)
    unique = _SQLITE_UNIQUE.match(message)
    for model in _tenant_models():
        for constraint in model._meta.constraints:
            named = constraint.name == (name or (check and check[1]))
            told = constraint.violation_error_message != constraint.default_violation_error_message
            if told and (named or (unique and _columns(model, constraint) == unique[1])):
                return str(constraint.get_violation_error_message())
    return "A rule of the data forbids this."


def _tenant_models() -> list[type[Model]]:
    return [model for label in settings.TENANT_APPS for model in apps.get_app_config(label).get_models()]


def _columns(model: type[Model], constraint: BaseConstraint) -> str | None:
    """The columns of a unique constraint, as SQLite names them."""
    if not isinstance(constraint, UniqueConstraint):
        return None
    columns = {field.name: field.column for field in model._meta.concrete_fields}
    return ", ".join(f"{model._meta.db_table}.{columns[name]}" for name in constraint.fields)
