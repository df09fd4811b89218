"""Many tenants with databases of their own, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.db import connections
from django.test import override_settings

from tenancy.pool import pool
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Tenant
from tenancy.testing import _maker

#: Waits for each of them, five seconds at most.
_END_SESSIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"


class Changing:
    """What follows a tenants.yaml; here a test changes it."""

    def __init__(self, tenants: dict[str, Tenant]) -> None:
        self.change(tenants)

    def change(self, tenants: dict[str, Tenant]) -> None:
        self.current = Registry(tenants, generation=str(len(tenants)))

    def is_due(self) -> bool:
        return False

    def refresh(self) -> None:
        pass


@contextmanager
def fleet(ids: list[str], folder: Path, blocker: Any, *, of: str = "acme") -> Iterator[Changing]:
    """Tenants of these ids, each with a copy of another's database.

    ``blocker`` is pytest-django's: a test may use the aliases only that its
    marker names, and these come later.
    """
    original = get_registry().get(of)
    template = _maker(of, folder)
    connections[of].close()
    pool.discard_idle({of})
    name = original.database["NAME"]
    is_file = original.engine == "sqlite3"
    tenants = {
        tenant_id: Tenant(
            tenant_id,
            tenant_id.title(),
            database={
                **original.database,
                "NAME": str(folder / tenant_id) if is_file else f"{name}_{tenant_id}",
            },
        )
        for tenant_id in ids
    }
    source = Changing(tenants)
    with blocker.unblock(), override_settings(TENANCY_REGISTRY=source), ExitStack() as stack:
        if not is_file:
            # What a thread of another test has left open there would keep it from being copied.
            template.execute(_END_SESSIONS.format(name=name))
        for tenant_id in ids:
            maker = _maker(tenant_id, folder)
            if is_file:
                maker.file = Path(maker.settings["NAME"])
            maker.clone(template)
            stack.callback(maker.remove)
            stack.callback(pool.discard_idle)
            maker.take_over()
            maker.connection.close()
        yield source
        source.change(tenants)
        for tenant_id in ids:
            connections[tenant_id].close()
