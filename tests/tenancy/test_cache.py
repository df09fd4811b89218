"""The cache: another tenant's entry is out of reach, by every method and whatever the key."""

from __future__ import annotations

import asyncio
import inspect
import threading
import uuid
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.core.cache.backends import locmem, redis
from django.core.cache.backends.base import CacheKeyWarning
from django.core.exceptions import ImproperlyConfigured
from hypothesis import example, given
from hypothesis import strategies as st

from tenancy.cache import (
    ClearRefused,
    LocMemCache,
    RedisCache,
    SharedCacheMixin,
    SharedLocMemCache,
    SharedRedisCache,
    TenantCacheMixin,
    shared_cache,
    shared_key,
    tenant_key,
)
from tenancy.context import current_tenant, enter_request, request_scope, tenant_context
from tenancy.exceptions import NoTenant, TenancyError
from tenancy.registry import get_registry
from tenancy.tenant import TENANT_ID, Tenant
from tests.project.test_settings import manage

#: The same key for everybody, and what each keeps under it.
KEY = "k"
VALUES = {"acme": 1, "globex": 2}
MISSING = ValueError


class RedisMemory:
    """What Django's Redis cache asks of a server, in a dict. Its client class is a seam of Django's."""

    def __init__(self, servers, **options):
        self.entries = {}

    def add(self, key, value, timeout):
        return self.entries.setdefault(key, new := (value, timeout, object())) is new

    def get(self, key, default):
        return self.entries.get(key, (default,))[0]

    def set(self, key, value, timeout):
        self.entries[key] = (value, timeout)

    def touch(self, key, timeout):
        if key not in self.entries:
            return False
        self.entries[key] = (self.entries[key][0], timeout)
        return True

    def delete(self, key):
        return self.entries.pop(key, None) is not None

    def get_many(self, keys):
        return {key: self.entries[key][0] for key in keys if key in self.entries}

    def has_key(self, key):
        return key in self.entries

    def incr(self, key, delta):
        if key not in self.entries:
            raise ValueError(key)
        self.entries[key] = (self.entries[key][0] + delta, None)
        return self.entries[key][0]

    def set_many(self, data, timeout):
        for key, value in data.items():
            self.set(key, value, timeout)

    def delete_many(self, keys):
        for key in keys:
            self.delete(key)

    def clear(self):
        self.entries.clear()


def make(backend, name=None, **params):
    """A cache of its own, or the one at ``name``."""
    made = backend(name or uuid.uuid4().hex, params)
    if isinstance(made, redis.RedisCache):
        made._class = RedisMemory
    return made


def stored(of):
    """Everything that is kept, by the key that the store sees."""
    if isinstance(of, redis.RedisCache):
        return dict(of._cache.entries)
    return {key: (value, of._expire_info[key]) for key, value in of._cache.items()}


@dataclass(frozen=True, eq=False)
class Call:
    """A method's use, what it gives where the key is kept with a value, and where it is not kept."""

    use: Callable[[Any], Any]
    found: Callable[[int], Any]
    missing: Any

    def result(self, of):
        with warnings.catch_warnings():
            warnings.simplefilter("error", CacheKeyWarning)
            try:
                answer = self.use(of)
                return asyncio.run(answer) if inspect.iscoroutine(answer) else answer
            except ValueError:
                return MISSING


def always(value):
    return lambda _kept: value


def same(kept):
    return kept


CALLS = {
    "get": Call(lambda c: c.get(KEY), same, None),
    "aget": Call(lambda c: c.aget(KEY), same, None),
    "get_many": Call(lambda c: c.get_many([KEY]), lambda kept: {KEY: kept}, {}),
    "aget_many": Call(lambda c: c.aget_many([KEY]), lambda kept: {KEY: kept}, {}),
    "get_or_set": Call(lambda c: c.get_or_set(KEY, 9), same, 9),
    "aget_or_set": Call(lambda c: c.aget_or_set(KEY, lambda: 9), same, 9),
    "has_key": Call(lambda c: c.has_key(KEY), always(True), False),
    "ahas_key": Call(lambda c: c.ahas_key(KEY), always(True), False),
    "__contains__": Call(lambda c: KEY in c, always(True), False),
    "set": Call(lambda c: c.set(KEY, 9), always(None), None),
    "aset": Call(lambda c: c.aset(KEY, 9), always(None), None),
    "set_many": Call(lambda c: c.set_many({KEY: 9}), always([]), []),
    "aset_many": Call(lambda c: c.aset_many({KEY: 9}), always([]), []),
    "add": Call(lambda c: c.add(KEY, 9), always(False), True),
    "aadd": Call(lambda c: c.aadd(KEY, 9), always(False), True),
    "touch": Call(lambda c: c.touch(KEY, 9), always(True), False),
    "atouch": Call(lambda c: c.atouch(KEY, 9), always(True), False),
    "incr": Call(lambda c: c.incr(KEY, 5), lambda kept: kept + 5, MISSING),
    "aincr": Call(lambda c: c.aincr(KEY, 5), lambda kept: kept + 5, MISSING),
    "decr": Call(lambda c: c.decr(KEY, 5), lambda kept: kept - 5, MISSING),
    "adecr": Call(lambda c: c.adecr(KEY, 5), lambda kept: kept - 5, MISSING),
    "incr_version": Call(lambda c: c.incr_version(KEY), always(2), MISSING),
    "aincr_version": Call(lambda c: c.aincr_version(KEY), always(2), MISSING),
    "decr_version": Call(lambda c: c.decr_version(KEY), always(0), MISSING),
    "adecr_version": Call(lambda c: c.adecr_version(KEY), always(0), MISSING),
    "delete": Call(lambda c: c.delete(KEY), always(True), False),
    "adelete": Call(lambda c: c.adelete(KEY), always(True), False),
    "delete_many": Call(lambda c: c.delete_many([KEY]), always(None), None),
    "adelete_many": Call(lambda c: c.adelete_many([KEY]), always(None), None),
}
#: These make a key, or reach no entry.
OTHERS = {"make_key", "make_and_validate_key", "key_function", "validate_key"} | {
    *("get_backend_timeout", "close", "aclose"),
    *("clear", "aclear"),
}
BACKENDS = [LocMemCache, RedisCache]
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.__name__)


@every_backend
def test_no_public_method_was_forgotten(backend):
    public = {
        name
        for name in dir(backend)
        if callable(getattr(backend, name)) and (not name.startswith("_") or name == "__contains__")
    }
    assert public == {*CALLS, *OTHERS}


def foreign(of, tenant_id):
    """What the store holds of others than this tenant."""
    return {key: entry for key, entry in stored(of).items() if not key.startswith(f"{tenant_id}:")}


def check_own_entry(of, call, tenant_id):
    """With one entry of each tenant: a method works on the tenant's, and on no other's."""
    for owner, value in VALUES.items():
        with tenant_context(owner):
            of.set(KEY, value)
    before = foreign(of, tenant_id)
    with tenant_context(tenant_id):
        assert call.result(of) == call.found(VALUES[tenant_id])
    assert foreign(of, tenant_id) == before


def check_no_entry(of, call, tenant_id):
    """With entries of all other tenants: a method finds nothing, and leaves theirs alone."""
    for owner in VALUES.keys() - {tenant_id}:
        with tenant_context(owner):
            of.set(KEY, VALUES[owner])
    before = foreign(of, tenant_id)
    assert before
    with tenant_context(tenant_id):
        assert call.result(of) == call.missing
    assert foreign(of, tenant_id) == before


@every_call
@every_backend
@pytest.mark.parametrize("tenant_id", VALUES)
def test_a_method_works_on_its_tenants_entry(backend, call, tenant_id):
    check_own_entry(make(backend), call, tenant_id)


@every_call
@every_backend
@pytest.mark.parametrize("tenant_id", VALUES)
def test_a_method_finds_no_other_tenants_entry(backend, call, tenant_id):
    check_no_entry(make(backend), call, tenant_id)


@every_call
@every_backend
def test_a_method_needs_a_tenant(backend, call):
    of = make(backend)
    with tenant_context("acme"):
        of.set(KEY, 1)
    before = stored(of)
    with pytest.raises(NoTenant, match="The cache needs a tenant"):
        call.result(of)
    assert stored(of) == before
    assert current_tenant() is None


@every_call
@every_backend
def test_a_request_without_a_tenant_has_no_cache(backend, call):
    with request_scope(), pytest.raises(NoTenant):
        call.result(make(backend))


@every_call
@pytest.mark.parametrize("check", [check_own_entry, check_no_entry])
@pytest.mark.parametrize("backend", [locmem.LocMemCache, redis.RedisCache], ids=["memory", "redis"])
def test_with_djangos_key_function_every_method_would_leak(backend, call, check):
    """Negative control: the checks above fail for a cache that is not ours."""
    calls_that_only_one_check_sees = {
        (check_own_entry, CALLS[name])
        # Where both have an entry, "there is one" is no answer that tells whose.
        for name in ("has_key", "ahas_key", "__contains__", "add", "aadd")
    }
    of = make(backend)
    if (check, call) in calls_that_only_one_check_sees:
        check(of, call, "acme")
        return
    with pytest.raises(AssertionError):
        check(of, call, "acme")


@every_backend
@pytest.mark.parametrize("method", ["make_key", "make_and_validate_key"])
def test_a_key_begins_with_its_tenant(backend, method):
    of = make(backend, KEY_PREFIX="p", VERSION=3)
    for tenant_id in VALUES:
        with tenant_context(tenant_id):
            assert getattr(of, method)(KEY) == f"{tenant_id}:p:3:{KEY}"
            assert getattr(of, method)(KEY, version=7) == f"{tenant_id}:p:7:{KEY}"
    with pytest.raises(NoTenant):
        getattr(of, method)(KEY)


@every_backend
def test_a_version_is_kept_apart_and_leads_to_nobody_else(backend):
    of = make(backend)
    for tenant_id, value in VALUES.items():
        with tenant_context(tenant_id):
            of.set(KEY, value)
            of.set(KEY, value * 10, version=2)
    for tenant_id, value in VALUES.items():
        with tenant_context(tenant_id):
            assert (of.get(KEY), of.get(KEY, version=2), of.get(KEY, version=3)) == (value, value * 10, None)


HOSTILE = ["globex::1:k", ":globex::1:k", "../globex", "globex", "\n globex::1:k", "_shared::1:k", "", "é", 7]


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
def test_no_key_prefix_or_version_reaches_another_tenant(hostile):
    name = uuid.uuid4().hex
    plain, prefixed = make(LocMemCache, name), make(LocMemCache, name, KEY_PREFIX=hostile, VERSION=hostile)
    shared = make(SharedLocMemCache, name)
    shared.set(KEY, "everybody's")
    with tenant_context("globex"):
        plain.set(KEY, "globex's")
    with tenant_context("acme"):
        assert plain.get(hostile) is plain.get(KEY, version=hostile) is prefixed.get(hostile) is None
        for of in (plain, prefixed):
            of.set(hostile, "acme's")
            of.set(KEY, "acme's", version=hostile)
    with tenant_context("globex"):
        assert plain.get(KEY) == "globex's"
    assert shared.get(KEY) == "everybody's"


texts = st.text() | st.sampled_from([str(text) for text in HOSTILE]) | st.integers().map(str)
parts = st.tuples(texts, texts, texts)
ids = st.from_regex(TENANT_ID, fullmatch=True)


@given(one=ids, other=ids, ours=parts, theirs=parts)
@example("ab", "ab-c", ("k", "", "1"), ("k", "", "1"))
@example("ab", "abc", ("c::1:k", "", "1"), ("k", "", "1"))
def test_keys_of_two_tenants_and_shared_keys_are_never_equal(one, other, ours, theirs):
    with tenant_context(Tenant(one, "One")):
        mine = tenant_key(*ours)
    with tenant_context(Tenant(other, "Other")):
        others = tenant_key(*theirs)
        everybodys = shared_key(*theirs)
    assert (mine == others) <= (one == other)
    assert everybodys not in (mine, others)
    # Why that is so, whatever the texts: what stands before the first ":" is the id, or can be none.
    assert mine.partition(":")[0] == one
    assert not TENANT_ID.fullmatch(everybodys.partition(":")[0])
    assert everybodys == shared_key(*theirs)


def test_with_djangos_key_function_a_prefix_would_reach_another_tenant():
    """Negative control of the one above: the usual advice, a prefix per tenant, depends on every text."""
    from django.core.cache.backends.base import default_key_func

    assert default_key_func("1:k", "acme", "x") == default_key_func("k", "acme:x", "1")


@every_backend
def test_a_key_that_memcached_takes_is_still_one(backend):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tenant_context(Tenant("a" * 40, "Longest")):
            make(backend).set("k" * (250 - 40 - len("::1:")), 1)
        make(SharedLocMemCache).set("k" * 200, 1)


@pytest.mark.parametrize("backend", [LocMemCache, RedisCache, SharedLocMemCache, SharedRedisCache])
def test_nobody_can_empty_it_for_all(backend):
    of = make(backend)
    with tenant_context("acme"):
        of.set(KEY, 1)
        before = stored(of)
        with pytest.raises(
            ClearRefused, match=r"every tenant. Remove the keys you know with delete_many\(\)"
        ):
            of.clear()
        with pytest.raises(ClearRefused, match="raise VERSION"):
            asyncio.run(of.aclear())
    assert stored(of) == before != {}
    assert issubclass(ClearRefused, TenancyError)


def test_djangos_clear_would_empty_it_for_all():
    """Negative control."""
    name = uuid.uuid4().hex
    ours, djangos = make(LocMemCache, name), make(locmem.LocMemCache, name)
    with tenant_context("globex"):
        ours.set(KEY, 2)
    djangos.clear()
    assert stored(ours) == {}


@pytest.mark.parametrize("backend", [LocMemCache, RedisCache, SharedLocMemCache, SharedRedisCache])
def test_settings_cannot_change_how_keys_are_made(backend):
    for function in ("django.core.cache.backends.base.default_key_func", lambda *_: "k", tenant_key):
        with pytest.raises(
            ImproperlyConfigured, match=f"{backend.__name__} makes its keys itself. Remove it"
        ):
            make(backend, KEY_FUNCTION=function)
    assert make(backend, KEY_FUNCTION=None).key_func is backend.key_function


def test_code_cannot_change_how_keys_are_made():
    of = make(LocMemCache)
    of.key_func = lambda *_: "k"
    with tenant_context("acme"):
        of.set(KEY, 1)
    with tenant_context("globex"):
        assert of.get(KEY) is None


def test_the_mixin_makes_any_backend_a_tenants(tmp_path):
    from django.core.cache.backends.filebased import FileBasedCache

    class FileCache(TenantCacheMixin, FileBasedCache):
        pass

    of = FileCache(str(tmp_path), {})
    for tenant_id, value in VALUES.items():
        with tenant_context(tenant_id):
            of.set(KEY, value)
    for tenant_id, value in VALUES.items():
        with tenant_context(tenant_id):
            assert of.get(KEY) == value
    with pytest.raises(NoTenant):
        of.get(KEY)
    with pytest.raises(ClearRefused):
        of.clear()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("backend", [SharedLocMemCache, SharedRedisCache])
def test_the_shared_cache_is_the_same_for_everybody(backend):
    of = make(backend)
    of.set(KEY, 1)
    for tenant_id in VALUES:
        with tenant_context(tenant_id):
            assert of.incr(KEY) == VALUES[tenant_id] + 1
    with request_scope():
        assert of.get(KEY) == 3
    assert list(stored(of)) == [f"_shared::1:{KEY}"]


def test_two_threads_with_the_same_key_keep_their_own():
    of = make(LocMemCache)
    both = threading.Barrier(2, timeout=10)

    def work(tenant_id):
        with tenant_context(tenant_id):
            both.wait()
            of.set(KEY, tenant_id)
            both.wait()
            return of.get(KEY), of.get_or_set("other", lambda: tenant_id)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, VALUES)) == [(tenant_id, tenant_id) for tenant_id in VALUES]


def test_tasks_with_the_same_key_keep_their_own():
    of = make(LocMemCache)

    async def work(tenant_id):
        with tenant_context(tenant_id):
            await of.aset(KEY, tenant_id)
            await asyncio.sleep(0)
            return await of.aget(KEY), await of.aget_or_set("other", lambda: tenant_id)

    async def all_of_them():
        return await asyncio.gather(*(work(tenant_id) for tenant_id in VALUES))

    assert asyncio.run(all_of_them()) == [(tenant_id, tenant_id) for tenant_id in VALUES]


def test_a_task_that_outlives_its_request_has_no_cache():
    of = make(LocMemCache)

    async def later(ended):
        await of.aset(KEY, 1)
        await ended.wait()
        await of.aget(KEY)

    async def work():
        ended = asyncio.Event()
        with request_scope():
            enter_request(get_registry().get("acme"))
            task = asyncio.create_task(later(ended))
            while not stored(of):
                await asyncio.sleep(0.001)
        ended.set()
        await task

    with pytest.raises(NoTenant):
        asyncio.run(work())


# The project's own caches


def test_the_projects_caches_are_a_tenants_and_everybodys():
    assert isinstance(caches["default"], TenantCacheMixin)
    assert isinstance(caches["shared"], SharedCacheMixin)
    key = uuid.uuid4().hex
    shared_cache.set(key, "everybody's")
    for tenant_id in VALUES:
        with tenant_context(tenant_id):
            assert cache.get(key) is None
            cache.set(key, tenant_id)
    for tenant_id in VALUES:
        with tenant_context(tenant_id):
            assert cache.get(key) == tenant_id
    assert shared_cache.get(key) == "everybody's"
    with pytest.raises(NoTenant):
        cache.get(key)
    with pytest.raises(ClearRefused):
        shared_cache.clear()


def test_a_tenant_that_fills_its_cache_pushes_nothing_out_of_the_shared_one():
    assert caches["default"]._cache is not caches["shared"]._cache


def test_redis_takes_both_caches():
    done = manage("diffsettings", REDIS_URL="redis://cache.internal/0")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("CACHES"))
    assert "'tenancy.cache.RedisCache'" in line
    assert "'tenancy.cache.SharedRedisCache'" in line
    assert line.count("'redis://cache.internal/0'") == line.count("'socket_timeout': 1") == 2
