"""Querysets that remember for which tenant they were made.

A lazy queryset is evaluated later than it is written, perhaps after the context has changed: Django would
ask the router then, and run it on another tenant's database. Here it raises. The memory lies in the query,
so that it follows clones, subqueries, ``Exists``, unions, iterators and pickles.

A queryset made with no tenant in context (at a class, in a module) is *unbound*: it is bound when it is
cloned in a context, which is what managers, DRF and django-filter do, and keeps no rows of its own.

Private API, read in Django 5.2.19: ``Query.get_compiler`` is asked for every query and subquery that
becomes SQL, ``Query.check_query_object_type`` for every object that stands in a condition on a relation,
``Query.combine`` for ``|`` and ``&``; ``QuerySet.db`` is read by all that runs, ``QuerySet._result_cache``
holds the rows once fetched; ``hints["instance"]`` is the object that a relation is followed from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models, router
from django.db.models import sql
from django.db.models.query import RawQuerySet

from tenancy import memory
from tenancy.context import current_frame, current_tenant, current_tenant_id, require_tenant
from tenancy.memory import remembered_by
from tenancy.relations import guard_related_manager

M = TypeVar("M", bound=models.Model)

if TYPE_CHECKING:
    _QuerySet = models.QuerySet
else:
    # Parametrised by type checkers only.
    class _QuerySet(models.QuerySet):
        def __class_getitem__(cls, *args: Any) -> Any:
            return cls


def _bind(query: Any) -> None:
    """Make a query that is nobody's the query of the tenant in context, if there is one.

    Also the copy of a query that is nobody's, and a plain one that was put in by hand."""
    if getattr(query, "tenant_id", None) is None:
        query.tenant_id = current_frame().tenant_id


class RemembersTenant(sql.Query):
    """Mixed into Django's queries: becomes SQL for one database only."""

    #: Set by the queryset that makes it. One that Django makes inside another (``exclude()`` over many rows)
    #: becomes SQL with the other only.
    tenant_id: str | None = None

    def get_compiler(self, using: str | None = None, connection: Any = None, elide_empty: bool = True) -> Any:
        # Compared here first: this runs for every query, and a call costs more than the comparison.
        alias = using or getattr(connection, "alias", None)
        if self.tenant_id is not None and self.tenant_id != alias:
            memory.require_database(self.model, self.tenant_id, alias)
        return _stock_compiler(self, using, connection, elide_empty)

    def sql_with_params(self) -> Any:
        """Also ``str(queryset.query)``: in the words of its tenant's database, where Django takes those of
        ``default``, which is none here."""
        alias = self.tenant_id or require_tenant(memory.describe(self.model)).id
        return self.get_compiler(alias).as_sql()

    def bind(self, tenant_id: str | None, what: object) -> None:
        """Belong to the tenant of ``what`` from now on. Raises ``WrongTenant`` when it belongs to another."""
        if self.tenant_id is None:
            self.tenant_id = tenant_id
        else:
            memory.require_database(what, tenant_id, self.tenant_id)

    def check_query_object_type(self, value: Any, opts: Any, field: Any) -> None:
        # A condition keeps the object's key only, and the key may be somebody else's here.
        self.bind(remembered_by(value), value)
        super().check_query_object_type(value, opts, field)

    def combine(self, rhs: Any, connector: Any) -> None:
        self.bind(getattr(rhs, "tenant_id", None), rhs.model)
        super().combine(rhs, connector)


class TenantQuery(RemembersTenant):
    """What a ``TenantQuerySet`` asks."""

    def chain(self, klass: Any = None) -> Any:
        # ``update()`` makes a query of another class out of this one; objects may stand in its values too.
        return _stock_chain(self, TenantUpdateQuery if klass is sql.UpdateQuery else klass)


class TenantUpdateQuery(RemembersTenant, sql.UpdateQuery):
    pass


class TenantRawQuerySet(RawQuerySet):  # type: ignore[type-arg]
    """``raw()``, remembering its tenant like the queryset it came from."""

    _db: str | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tenant_id = current_tenant_id()
        super().__init__(*args, **kwargs)

    @property
    def db(self) -> str:
        alias: str = super().db
        memory.require_database(self.model, self._tenant_id, alias)
        return alias

    def _clone(self) -> TenantRawQuerySet:
        clone: TenantRawQuerySet = super()._clone()  # type: ignore[misc]
        clone._tenant_id = self._tenant_id
        return clone

    def _fetch_all(self) -> None:
        """Asked by everything that reads rows, fetched or not."""
        self._require_readable()
        super()._fetch_all()  # type: ignore[misc]

    def __iter__(self) -> Iterator[Any]:
        return self._watch(super().__iter__())

    def iterator(self) -> Iterator[Any]:
        return self._watch(super().iterator())

    def using(self, alias: str | None) -> TenantRawQuerySet:
        """As Django's, which makes a plain one."""
        rows = TenantRawQuerySet(
            self.raw_query,
            model=self.model,
            query=self.query.chain(using=alias),  # type: ignore[arg-type]  # None is Django's own default
            params=self.params,
            translations=self.translations,
            using=alias,
        )
        rows._tenant_id = self._tenant_id or alias
        return rows

    def _watch(self, rows: Iterator[Any]) -> Iterator[Any]:
        for row in rows:
            self._require_readable()
            yield row

    def _require_readable(self) -> None:
        current = current_frame().tenant_id
        # Outside of every context an alias that was named is an explicit choice.
        if current != self._tenant_id and not (current is None and self._db is not None):
            memory.require_context(self.model, self._tenant_id)


_STOCK = (*_QuerySet.__mro__,)
_CUT_SHORT = {"__init__", "_clone", "__iter__", "count", "exists"}

# Django's own, found once: ``super()`` looks for them at every call.
_stock_compiler: Any = sql.Query.get_compiler
_stock_chain: Any = sql.Query.chain
_stock_init: Any = models.QuerySet.__init__
_stock_iter: Any = models.QuerySet.__iter__
_stock_count: Any = models.QuerySet.count
_stock_exists: Any = models.QuerySet.exists


class TenantQuerySet(_QuerySet[M]):
    """What the managers of tenant models return. Subclass it for methods of your own."""

    #: Whether no class but ours and Django's says how its querysets are made and read. Only then may the way
    #: from ours to Django's be cut short: a mixin may stand in between.
    _is_plain = True

    _query: Any
    _db: str | None
    _hints: dict[str, Any]
    _result_cache: list[Any] | None

    def __init__(
        self, model: Any = None, query: Any = None, using: str | None = None, hints: Any = None
    ) -> None:
        if query is None:
            query = TenantQuery(model)
            query.tenant_id = current_frame().tenant_id
        else:
            _bind(query)
        if self._is_plain:
            _stock_init(self, model, query, using, hints)
        else:
            super().__init__(model, query, using, hints)
        if hints:
            self._bind_to_hint()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._is_plain = not any(
            _CUT_SHORT & vars(base).keys() for base in cls.__mro__ if base not in {TenantQuerySet, *_STOCK}
        )

    # Binding.

    def _clone(self: Any) -> Any:
        """As Django's, for a class that has not changed how its querysets are made: every filter and every
        order makes a clone, and what this spares pays for the guards."""
        cls = type(self)
        if not cls._is_plain:
            return super()._clone()  # type: ignore[misc]
        clone: Any = object.__new__(cls)
        clone.model = self.model
        clone._db = self._db
        clone._hints = self._hints.copy()
        clone._query = query = self.query.chain()
        clone._result_cache = None
        clone._sticky_filter = self._sticky_filter
        clone._for_write = self._for_write
        clone._prefetch_related_lookups = self._prefetch_related_lookups[:]
        clone._prefetch_done = False
        clone._known_related_objects = self._known_related_objects
        clone._iterable_class = self._iterable_class
        clone._fields = self._fields
        clone._defer_next_filter = False
        clone._deferred_filter = None
        if getattr(query, "tenant_id", None) is None:
            _bind(query)
            if clone._hints:
                clone._bind_to_hint()
        return clone

    def _add_hints(self, **hints: Any) -> None:
        current = current_frame().tenant_id
        if self._tenant_id is None and current is not None:
            # Made outside of every context, as the ``queryset`` of a ``Prefetch`` in a view's class: all
            # tenants share it, and nothing of one may stay in it. What Django goes on with is a clone, which
            # is bound.
            instance = hints.get("instance")
            memory.require_database(instance, remembered_by(instance), current)
            return
        super()._add_hints(**hints)  # type: ignore[misc]
        self._bind_to_hint()

    def _bind_to_hint(self) -> None:
        instance = self._hints.get("instance")
        if (tenant_id := remembered_by(instance)) is not None:
            self._query.bind(tenant_id, instance)

    @property
    def _tenant_id(self) -> str | None:
        tenant_id: str | None = getattr(self._query, "tenant_id", None)
        return tenant_id

    # What runs.

    @property
    def db(self) -> str:
        # Django's own question, asked here: its property would be one call more.
        ask = router.db_for_write if self._for_write else router.db_for_read
        alias: str = self._db or ask(self.model, **self._hints)
        tenant_id = getattr(self._query, "tenant_id", None)
        if tenant_id is not None and tenant_id != alias:
            memory.require_database(self.model, tenant_id, alias)
        return alias

    # What reads rows, those that were fetched before among them.

    def _bound_here(self) -> Any:
        """This queryset, when its rows may be read here; a clone for the tenant in context where it is
        nobody's, and so must keep none. Raises otherwise."""
        remembered = getattr(self._query, "tenant_id", None) or self._db
        tenant_id = current_frame().tenant_id
        if remembered is None:
            # With no tenant there is nothing to bind it to; the router says so.
            return self if tenant_id is None else self._chain()  # type: ignore[attr-defined]
        if tenant_id != remembered and self._result_cache is not None:
            self._require_readable()
        return self

    def _require_readable(self) -> None:
        remembered = self._tenant_id
        # Named by its alias outside of any context, it is read there too, but not in another tenant's.
        if remembered is not None or current_tenant() is not None:
            memory.require_context(self.model, remembered or self._db)

    def __iter__(self) -> Iterator[Any]:
        rows = self._bound_here()
        return (
            self._watch(_stock_iter(self) if self._is_plain else super().__iter__())
            if rows is self
            else iter(rows)
        )

    def __aiter__(self) -> AsyncIterator[Any]:
        rows = self._bound_here()
        return self._awatch(super().__aiter__()) if rows is self else aiter(rows)

    def _watch(self, rows: Iterator[Any]) -> Iterator[Any]:
        """An iterator may be kept as well, and be pulled elsewhere."""
        remembered = self._tenant_id or self._db
        for row in rows:
            # Compared here first: this runs for every row.
            if current_frame().tenant_id != remembered:
                self._require_readable()
            yield row

    async def _awatch(self, rows: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for row in rows:
            self._require_readable()
            yield row

    def __len__(self) -> int:
        # What has no rows yet and is somebody's is refused where it runs (``db``).
        if self._result_cache is not None or getattr(self._query, "tenant_id", None) is None:
            rows = self._bound_here()
            if rows is not self:
                return len(rows)
        self._fetch_all()
        return len(self._result_cache)  # type: ignore[arg-type]  # filled by now

    def __bool__(self) -> bool:
        rows = self._bound_here()
        return super().__bool__() if rows is self else bool(rows)

    def __getitem__(self, key: Any) -> Any:
        self._bound_here()
        return super().__getitem__(key)

    def __getstate__(self) -> Any:
        rows = self._bound_here()
        return super().__getstate__() if rows is self else rows.__getstate__()

    def count(self) -> int:
        if self._result_cache is not None:
            self._require_readable()
        count: int = _stock_count(self) if self._is_plain else super().count()
        return count

    def exists(self) -> bool:
        if self._result_cache is not None:
            self._require_readable()
        found: bool = _stock_exists(self) if self._is_plain else super().exists()
        return found

    def _iterator(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        rows = self._bound_here()
        stock: Any = super() if rows is self else rows
        found: Iterator[Any] = stock._iterator(*args, **kwargs)
        return self._watch(found) if rows is self else found

    def aiterator(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        rows = self._bound_here()
        stock: Any = super()
        found: AsyncIterator[Any] = (
            self._awatch(stock.aiterator(*args, **kwargs))
            if rows is self
            else rows.aiterator(*args, **kwargs)
        )
        return found

    def raw(
        self, raw_query: Any, params: Any = (), translations: Any = None, using: str | None = None
    ) -> Any:
        using = using or self._db
        rows = TenantRawQuerySet(
            raw_query, model=self.model, params=params, translations=translations, using=using
        )
        rows._tenant_id = self._tenant_id or using or rows._tenant_id
        rows._prefetch_related_lookups = self._prefetch_related_lookups[:]  # type: ignore[attr-defined]
        return rows

    # What takes objects and keeps their keys only.

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        objs = list(objs)
        self._for_write = True
        memory.require_databases(objs, self.db)
        return super().bulk_create(objs, *args, **kwargs)

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        objs = list(objs)
        self._for_write = True
        memory.require_databases(objs, self.db)
        return super().bulk_update(objs, fields, batch_size)

    def update(self, **kwargs: Any) -> int:
        self._for_write = True
        memory.require_databases(kwargs.values(), self.db)
        return super().update(**kwargs)

    def contains(self, obj: models.Model) -> bool:
        self._bound_here()
        memory.require_databases([obj], self.db)
        return super().contains(obj)

    @classmethod
    def as_manager(cls) -> Any:
        manager: Any = TenantManager.from_queryset(cls)()
        manager._built_with_as_manager = True
        return manager

    as_manager.queryset_only = True  # type: ignore[attr-defined]


class TenantManager(models.Manager.from_queryset(TenantQuerySet)):  # type: ignore[misc]
    """The manager of tenant models: ``TenantManager.from_queryset(…)`` for one with methods of its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Of a relation, too: Django makes it as a subclass of the related model's default manager.
        guard_related_manager(cls)
