"""The cache, a part of it per tenant.

A tenant's keys begin with its id, which is taken from the context at every call, and ids have no ``:`` in
them. So the first ``:`` of a key ends the id, whatever text follows, and no key, prefix or version leads to
another tenant's entry. What is everybody's has a cache of its own, whose keys begin as no id can.

Read in Django 5.2.19 (``django/core/cache/backends/``): every method that takes a key asks ``make_key`` for
the one it uses; ``clear`` is the only one that reaches entries without a key.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, cast

from django.core.cache import caches
from django.core.cache.backends import locmem, redis
from django.core.cache.backends.base import BaseCache
from django.core.exceptions import ImproperlyConfigured
from django.utils.connection import ConnectionProxy

from tenancy.context import require_tenant
from tenancy.exceptions import TenancyError

#: The alias in ``CACHES`` of the cache that all tenants share.
SHARED_ALIAS = "shared"

# No tenant's id begins with it. One server may hold both kinds of entries.
_SHARED = "_shared"


class ClearRefused(TenancyError):
    """``clear()`` would empty the cache for every tenant, for it knows no keys."""

    def __init__(self) -> None:
        super().__init__(
            "clear() would empty the cache of every tenant. Remove the keys you know with delete_many(), or "
            "raise VERSION in CACHES: what was kept under the old one is never read again, and expires."
        )


def tenant_key(key: object, key_prefix: object, version: object) -> str:
    """The key of the tenant in context: ``<id>:<prefix>:<version>:<key>``. Raises ``NoTenant``.

    Has the signature of Django's ``KEY_FUNCTION``; ``TenantCacheMixin`` puts it in place.
    """
    return f"{require_tenant('The cache').id}:{key_prefix}:{version}:{key}"


def shared_key(key: object, key_prefix: object, version: object) -> str:
    """A key that is the same for every tenant, and without one, and is never a tenant's."""
    return f"{_SHARED}:{key_prefix}:{version}:{key}"


class _OneKeyFunction:
    """A cache whose keys are made in one way, which no setting changes. Put it before Django's class."""

    key_function: ClassVar[Any]
    key_prefix: str
    version: int

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        if params.get("KEY_FUNCTION") is not None:
            raise ImproperlyConfigured(
                f"CACHES sets KEY_FUNCTION, and {type(self).__name__} makes its keys itself. Remove it."
            )
        base = cast("Any", super())  # of Django's class, which is mixed in with this one
        base.__init__(location, params)
        self.key_func = self.key_function

    def make_key(self, key: object, version: object = None) -> str:
        # Not self.key_func: an attribute, which anybody may set, and Django's default to begin with.
        made: str = self.key_function(key, self.key_prefix, self.version if version is None else version)
        return made

    def clear(self) -> NoReturn:
        raise ClearRefused

    async def aclear(self) -> NoReturn:
        raise ClearRefused


class TenantCacheMixin(_OneKeyFunction):
    """Makes any of Django's cache backends a cache per tenant::

        class FileCache(TenantCacheMixin, FileBasedCache): ...

    Every method raises ``NoTenant`` without a tenant in context, and ``clear()`` ``ClearRefused`` always.
    Refuses a ``KEY_FUNCTION`` in ``CACHES`` with ``ImproperlyConfigured``.
    """

    key_function = staticmethod(tenant_key)


class SharedCacheMixin(_OneKeyFunction):
    """The same for what belongs to no tenant: works in any context and in none.

    ``clear()`` is refused here too: on a server that also holds the tenants' entries it removes those
    (Redis' ``FLUSHDB`` knows no keys).
    """

    key_function = staticmethod(shared_key)


class LocMemCache(TenantCacheMixin, locmem.LocMemCache):
    """Per tenant, in this process's memory."""


class RedisCache(TenantCacheMixin, redis.RedisCache):
    """Per tenant, on a Redis server that all processes share. Needs the package ``redis``."""


class SharedLocMemCache(SharedCacheMixin, locmem.LocMemCache):
    """For everybody, in this process's memory."""


class SharedRedisCache(SharedCacheMixin, redis.RedisCache):
    """For everybody, on a Redis server. Needs the package ``redis``."""


#: What is nobody's in particular: ``from tenancy.cache import shared_cache``. Looked up when it is used.
shared_cache = cast("BaseCache", ConnectionProxy(caches, SHARED_ALIAS))
