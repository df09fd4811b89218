"""Which tenants a command works on."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tenancy.exceptions import TenancyError
from tenancy.registry import Registry
from tenancy.tenant import Tenant


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
        wanted = _ids(self.names, registry.ids) if self.names else registry.ids
        unwanted = _ids(self.exclude, registry.ids)
        found = [
            tenant
            for tenant in registry
            if tenant.id in wanted
            and tenant.id not in unwanted
            and all(tenant.labels.get(name) == value for name, value in self.labels.items())
        ]
        if not found:
            raise SelectionError("No tenant is selected; `manage.py tenants list` shows what there is.")
        return found


def _ids(names: Iterable[str], known: Collection[str]) -> set[str]:
    """The ids that names, which may be wildcards, stand for."""
    found: set[str] = set()
    for name in names:
        fitting = [name] if name in known else fnmatch.filter(known, name)
        if not fitting:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f" Did you mean '{close[0]}'?" if close else ""
            raise SelectionError(f"'{name}' fits no tenant.{guess}")
        found.update(fitting)
    return found
