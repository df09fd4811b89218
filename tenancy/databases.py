"""``settings.DATABASES``: the databases that settings name, and one for every tenant there is at the moment.

Django asks it in two ways. By alias: any tenant's settings are worked out when they are asked for. As a
whole, on every request and at every start: that shows only what settings name, so that ten thousand tenants
cost what three do.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any

from tenancy.context import current_tenant
from tenancy.registry import get_registry

Settings = dict[str, Any]


class Databases(MutableMapping[str, Settings]):
    """Names every alias, gives any alias its settings, and holds only those that were put into it.

    In a tenant's context its alias has the settings of the ``Tenant`` in context, also when tenants.yaml
    says something else by now: what runs goes on in the database where it began.
    """

    def __init__(self, named: Mapping[str, Settings]) -> None:
        self._named = dict(named)

    def __getitem__(self, alias: str) -> Settings:
        """Raises ``DatabaseUnavailable`` for a tenant whose URL cannot be used."""
        if alias in self._named:
            return self._named[alias]
        tenant = current_tenant()
        if tenant is not None and tenant.id == alias:
            return tenant.database
        registry = get_registry()
        if alias not in registry:
            raise KeyError(alias)
        return registry.get(alias).database

    def __setitem__(self, alias: str, database: Settings) -> None:
        self._named[alias] = database

    def __delitem__(self, alias: str) -> None:
        del self._named[alias]

    def __contains__(self, alias: object) -> bool:
        if alias in self._named or alias in get_registry():
            return True
        tenant = current_tenant()
        return tenant is not None and tenant.id == alias

    def __iter__(self) -> Iterator[str]:
        yield from self._named
        for alias in get_registry().ids:
            if alias not in self._named:
                yield alias

    def __len__(self) -> int:
        ids = get_registry().ids
        return len(self._named) + len(ids) - sum(alias in ids for alias in self._named)

    # Without the tenants: Django loops over these in make_view_atomic() on every request, and at every start
    # in ConnectionHandler.configure_settings().

    def items(self) -> ItemsView[str, Settings]:
        return self._named.items()

    def values(self) -> ValuesView[Settings]:
        return self._named.values()

    def __repr__(self) -> str:
        return f"<Databases: {', '.join(self._named)} and {len(self) - len(self._named)} tenants>"
