"""The registry: every tenant of tenants.yaml, by id. Nothing is opened to answer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from django.conf import settings

from tenancy import tenants_file
from tenancy.exceptions import RegistryUnavailable, TenantNotFound, TenantsFileError
from tenancy.tenant import Tenant


class Registry:
    """The tenants of one valid tenants.yaml, or the reason why there is none."""

    def __init__(
        self,
        tenants: Mapping[str, Tenant],
        *,
        generation: str = "",
        error: TenantsFileError | None = None,
    ) -> None:
        self._tenants = MappingProxyType(dict(tenants))
        #: Changes when, and only when, the file's content does.
        self.generation = generation
        self.since = datetime.now(UTC)
        self.error = error

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

    def require(self) -> None:
        """Raise ``RegistryUnavailable`` when no valid file was ever read."""
        if self.error is not None:
            raise RegistryUnavailable(str(self.error)) from self.error

    def databases(self) -> dict[str, dict[str, Any]]:
        """Django's ``DATABASES`` for all tenants; the alias is the tenant's id."""
        return {tenant.id: dict(tenant.database) for tenant in self}

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._tenants.values())

    def __contains__(self, tenant_id: object) -> bool:
        return tenant_id in self._tenants

    def __len__(self) -> int:
        return len(self._tenants)


def get_registry() -> Registry:
    """The registry in use, which settings loaded."""
    registry: Registry = settings.TENANCY_REGISTRY
    return registry
