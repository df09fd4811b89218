"""What remembers its tenant: rules for objects and queries that are kept over a change of context.

An object, a queryset or a result made for one tenant carries that tenant's id. It may be used on that
tenant's database only, whoever asks, and be read while that tenant is in context.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models

from tenancy.context import current_tenant_id
from tenancy.exceptions import NoTenant, WrongTenant


def remembered_by(instance: object) -> str | None:
    """The tenant that an object was made for; None for one that may go anywhere."""
    return getattr(instance, "_tenant_id", None) if isinstance(instance, models.Model) else None


def require_database(what: object, remembered: str | None, alias: str | None) -> None:
    """Raise ``WrongTenant`` unless what is remembered may be used on the database ``alias``."""
    if remembered is None or alias is None or remembered == alias:
        return
    if remembered == current_tenant_id():  # it is at home here; the database, chosen by hand, is not
        raise WrongTenant("The database", alias, remembered)
    raise WrongTenant(describe(what), remembered, alias)


def require_databases(objects: Iterable[object], alias: str | None) -> None:
    """The same for each of many objects."""
    for instance in objects:
        require_database(instance, remembered_by(instance), alias)


def require_context(what: object, remembered: str | None) -> None:
    """Raise unless what is remembered may be read here: ``WrongTenant`` while another tenant is in
    context, ``NoTenant`` while none is."""
    if remembered is not None:
        current = current_tenant_id()
        if current is None:
            raise NoTenant(describe(what))
        require_database(what, remembered, current)


def describe(what: object) -> str:
    """An object, or a query's model, in the words of an error. Only asked for what is refused: this runs for
    every query, and a name costs more than the comparison."""
    match what:
        case str():
            return what
        case type():
            return f"This query of '{what._meta.label}'" if issubclass(what, models.Model) else "This query"
        case None:
            return "This query"
    return f"This {type(what).__name__}"
