"""Throttles of DRF where there is no tenant."""

from __future__ import annotations

from tenancy.cache import shared_cache


class SharedThrottleMixin:
    """Makes one of DRF's throttles count in the cache that is everybody's. Put it before DRF's class::

        class SignInThrottle(SharedThrottleMixin, AnonRateThrottle): ...

    For views that answer without a token. DRF's own count in the default cache, which is a tenant's: on a
    tenant's views that gives each tenant counts of its own, and where there is no tenant it raises
    ``NoTenant`` (``tenancy.E203`` finds those).
    """

    cache = shared_cache
