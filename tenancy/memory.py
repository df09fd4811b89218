"""What remembers its tenant: rules for objects and queries that are kept over a change of context.

An object, a queryset or a result made for one tenant carries that tenant's id. It may be used on that
tenant's database only, whoever asks, and be read while that tenant is in context.
"""

from __future__ import annotations

from tenancy.context import current_tenant
from tenancy.exceptions import NoTenant, WrongTenant


def current_id() -> str | None:
    """The id of the tenant in context, which is what is remembered."""
    tenant = current_tenant()
    return None if tenant is None else tenant.id


def require_database(what: str, remembered: str | None, alias: str | None) -> None:
    """Raise ``WrongTenant`` unless what is remembered may be used on the database ``alias``."""
    if remembered is None or alias is None or remembered == alias:
        return
    if remembered == current_id():  # it is at home here; the database, chosen by hand, is not
        raise WrongTenant("The database", alias, remembered)
    raise WrongTenant(what, remembered, alias)


def require_context(what: str, remembered: str | None) -> None:
    """Raise unless what is remembered may be read here: ``WrongTenant`` while another tenant is in
    context, ``NoTenant`` while none is."""
    if remembered is not None:
        current = current_id()
        if current is None:
            raise NoTenant(what)
        require_database(what, remembered, current)
