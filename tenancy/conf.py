"""Tenancy's settings, each with its default. The README lists them; ``tenancy.checks`` looks at their
values."""

from __future__ import annotations

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, int | float] = {
    "TENANCY_PROCESSES": 1,
    "TENANCY_POOL_SIZE": 20,
    "TENANCY_POOL_TENANT_SHARE": 4,
    "TENANCY_POOL_CONTROL_SIZE": 8,
    "TENANCY_POOL_WAIT": 0.3,
    "TENANCY_POOL_IDLE_SECONDS": 60.0,
    "TENANCY_POOL_MAX_AGE": 3600.0,
    "TENANCY_BREAKER_FAILURES": 3,
    "TENANCY_BREAKER_SECONDS": 1.0,
}


def _setting(name: str) -> Any:
    return getattr(settings, name, DEFAULTS[name])


class Conf:
    """What the project set, or the default; read anew each time, so ``override_settings`` works."""

    @property
    def processes(self) -> int:
        """Processes that each have such a pool, for the arithmetic of ``check --deploy``."""
        return int(_setting("TENANCY_PROCESSES"))

    @property
    def pool_size(self) -> int:
        """Connections to all tenants' databases together that this process may have open."""
        return int(_setting("TENANCY_POOL_SIZE"))

    @property
    def tenant_share(self) -> int:
        """How many of them one tenant may have."""
        return int(_setting("TENANCY_POOL_TENANT_SHARE"))

    @property
    def control_size(self) -> int:
        """Connections to the control plane, beside those."""
        return int(_setting("TENANCY_POOL_CONTROL_SIZE"))

    @property
    def pool_wait(self) -> float:
        """Seconds to wait for a connection before the answer is "busy"."""
        return float(_setting("TENANCY_POOL_WAIT"))

    @property
    def idle_seconds(self) -> float:
        """Seconds after which a connection that nobody used is closed."""
        return float(_setting("TENANCY_POOL_IDLE_SECONDS"))

    @property
    def max_age(self) -> float:
        """Seconds after which a connection is closed instead of kept, however busy."""
        return float(_setting("TENANCY_POOL_MAX_AGE"))

    @property
    def breaker_failures(self) -> int:
        """Failures to connect, one after the other, after which a tenant is answered without trying."""
        return int(_setting("TENANCY_BREAKER_FAILURES"))

    @property
    def breaker_seconds(self) -> float:
        """Seconds until it is tried again."""
        return float(_setting("TENANCY_BREAKER_SECONDS"))

    @property
    def celery_app(self) -> str:
        """The module that makes the project's Celery application; empty where there is none."""
        return str(getattr(settings, "TENANCY_CELERY_APP", ""))


conf = Conf()
