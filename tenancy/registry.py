"""The registry: every tenant of tenants.yaml, by id. Nothing is opened to answer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, KeysView, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from django.conf import settings
from django.dispatch import Signal

from tenancy import tenants_file
from tenancy.exceptions import RegistryUnavailable, TenantNotFound, TenantsFileError
from tenancy.tenant import Tenant

#: Sent when another tenants.yaml took the place of the one before, in the thread that read it, with the new
#: ``registry`` and ``added``, ``removed`` and ``changed``: frozensets of tenants' ids.
registry_changed = Signal()


class Source(Protocol):
    """What ``settings.TENANCY_REGISTRY`` is: a ``Registry``, which stays as it is, or one that follows its
    file (``tenancy.live``)."""

    @property
    def current(self) -> Registry:
        """The snapshot in use."""

    @property
    def error(self) -> TenantsFileError | None:
        """Why the file as it is now is refused; None when ``current`` is what it says."""

    def is_due(self) -> bool:
        """Whether a request has to call ``refresh()`` before it begins."""

    def refresh(self) -> None:
        """See whether the file has changed. May wait for it to be read."""

    async def refresh_async(self) -> None:
        """The same in an event loop."""


class Registry:
    """The tenants of one valid tenants.yaml, or the reason why there is none. It never changes."""

    def __init__(
        self,
        tenants: Mapping[str, Tenant],
        *,
        generation: str = "",
        error: TenantsFileError | None = None,
        hosts: Mapping[str, str] | None = None,
    ) -> None:
        # A dict is its maker's; any other mapping is one that does not change, and may be large.
        self._tenants: Mapping[str, Tenant] = MappingProxyType(
            dict(tenants) if isinstance(tenants, dict) else tenants
        )
        #: Changes when, and only when, the file's content does.
        self.generation = generation
        self.since = datetime.now(UTC)
        self.error = error
        self._hosts = hosts

    @classmethod
    def load(
        cls,
        file: Path,
        *,
        control: Mapping[str, Any] | None,
        production: bool,
        environ: Mapping[str, str] = os.environ,
        max_bytes: int = tenants_file.MAX_FILE_BYTES,
    ) -> Registry:
        """The registry of ``file``. A file that is refused gives an empty one that says why when it
        is asked for a tenant: the service still starts and answers 503, the commands still explain."""
        try:
            tenants, data = tenants_file.read(
                file, control=control, production=production, environ=environ, max_bytes=max_bytes
            )
        except TenantsFileError as exc:
            return cls({}, error=exc)
        return cls(tenants, generation=hashlib.sha256(data).hexdigest()[:12])

    def get(self, tenant_id: str) -> Tenant:
        """The tenant. Raises ``TenantNotFound``, or ``RegistryUnavailable`` when no file was valid."""
        try:
            return self._tenants[tenant_id]
        except KeyError:
            self.require()
            raise TenantNotFound(tenant_id, self._tenants) from None

    @property
    def hosts(self) -> Mapping[str, str]:
        """The ids of the tenants that have host names of their own, by host name."""
        if self._hosts is None:
            self._hosts = {host: tenant.id for tenant in self for host in tenant.hosts}
        return self._hosts

    def require(self) -> None:
        """Raise ``RegistryUnavailable`` when no valid file was ever read."""
        if self.error is not None:
            raise RegistryUnavailable(str(self.error)) from self.error

    @property
    def ids(self) -> KeysView[str]:
        """The tenants' ids, in the file's order; no tenant is looked at."""
        return self._tenants.keys()

    @property
    def current(self) -> Registry:
        return self

    def is_due(self) -> bool:
        return False

    def refresh(self) -> None:
        """It follows no file."""

    async def refresh_async(self) -> None:
        """Nor here."""

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._tenants.values())

    def __contains__(self, tenant_id: object) -> bool:
        return tenant_id in self._tenants

    def __len__(self) -> int:
        return len(self._tenants)


def get_source() -> Source:
    """What the settings made: the registry, or what keeps it up to date."""
    source: Source = settings.TENANCY_REGISTRY
    return source


def get_registry() -> Registry:
    """The registry in use: one snapshot, which later changes of tenants.yaml do not reach."""
    registry: Registry = settings.TENANCY_REGISTRY.current
    return registry
