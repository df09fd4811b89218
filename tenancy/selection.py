"""Which tenants a command works on."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tenancy.exceptions import TenancyError
from tenancy.registry import Registry
from tenancy.tenant import Tenant

#: What makes a name a wildcard.
_WILD = frozenset("*?[")


class SelectionError(TenancyError, ValueError):
    """Nothing, or something that is not there, was selected."""


@dataclass(frozen=True)
class Selection:
    """Tenants by id or wildcard (``eu-*``), or all of them; of those, the ones with all ``labels``; without
    the ones that ``exclude`` names by id or wildcard."""

    names: Collection[str] = ()
    everybody: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    exclude: Collection[str] = ()

    def of(self, registry: Registry) -> list[Tenant]:
        """In the file's order. Raises ``SelectionError`` where a name fits nobody, or nobody is left."""
        if not (self.names or self.everybody or self.labels):
            raise SelectionError("Name tenants (ids or wildcards), or choose them by --label or --all.")
        if self.names and self.everybody:
            raise SelectionError("Name tenants, or choose --all; not both.")
        for name in (*self.names, *self.exclude):
            _require_fit(name, registry.ids)
        found = [tenant for tenant in registry if self.takes(tenant)]
        if not found:
            raise SelectionError("No tenant is selected; `manage.py tenants list` shows what there is.")
        return found

    def takes(self, tenant: Tenant) -> bool:
        """Whether it is one of them."""
        return (
            (not self.names or self._wanted.fit(tenant.id))
            and not self._unwanted.fit(tenant.id)
            and all(tenant.labels.get(name) == value for name, value in self.labels.items())
        )

    @cached_property
    def _wanted(self) -> _Names:
        return _Names(self.names)

    @cached_property
    def _unwanted(self) -> _Names:
        return _Names(self.exclude)


class _Names:
    """Ids and wildcards. Of very many names few are wildcards, which alone are tried one by one."""

    def __init__(self, names: Collection[str]) -> None:
        self._ids = frozenset(names)
        self._wildcards = [name for name in names if _WILD.intersection(name)]

    def fit(self, tenant_id: str) -> bool:
        return tenant_id in self._ids or any(
            fnmatch.fnmatchcase(tenant_id, wildcard) for wildcard in self._wildcards
        )


def _require_fit(name: str, known: Collection[str]) -> None:
    if name not in known and not fnmatch.filter(known, name):
        close = difflib.get_close_matches(name, known, n=1)
        guess = f" Did you mean '{close[0]}'?" if close else ""
        raise SelectionError(f"'{name}' fits no tenant.{guess}")
