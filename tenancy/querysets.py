"""Querysets that remember for which tenant they were made.

A lazy queryset is evaluated later than it is written, perhaps after the context has changed: Django would
ask the router then, and run it on another tenant's database. Here it raises. The memory lies in the query,
so that it follows clones, subqueries, ``Exists``, unions, iterators and pickles.

A queryset made with no tenant in context (at a class, in a module) is *unbound*: it is bound when it is
cloned in a context, which is what managers, DRF and django-filter do, and keeps no rows of its own.

Private API, read in Django 5.2.19: ``Query.get_compiler`` is asked for every query and subquery that
becomes SQL, ``Query.check_query_object_type`` for every object that stands in a condition on a relation,
``Query.combine`` for ``|`` and ``&``; ``QuerySet.db`` is read by all that runs, ``QuerySet._result_cache``
by all that reads rows once fetched; ``hints["instance"]`` is the object that a relation is followed from.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models
from django.db.models import sql
from django.db.models.query import RawQuerySet

from tenancy import memory

M = TypeVar("M", bound=models.Model)

if TYPE_CHECKING:
    _QuerySet = models.QuerySet
else:
    # Parametrised by type checkers only.
    class _QuerySet(models.QuerySet):
        def __class_getitem__(cls, *args: Any) -> Any:
            return cls


def remembered_by(instance: object) -> str | None:
    """The tenant that an object was made for; None for one that may go anywhere."""
    return getattr(instance, "_tenant_id", None) if isinstance(instance, models.Model) else None


def _name(model: type[models.Model] | None) -> str:
    return "This query" if model is None else f"This query of '{model._meta.label}'"


class TenantQuery(sql.Query):
    """A query that becomes SQL for one database only."""

    tenant_id: str | None

    def __init__(self, model: Any, alias_cols: bool = True) -> None:
        super().__init__(model, alias_cols)
        self.tenant_id = memory.current_id()

    def get_compiler(self, using: str | None = None, connection: Any = None, elide_empty: bool = True) -> Any:
        memory.require_database(
            _name(self.model), self.tenant_id, using or getattr(connection, "alias", None)
        )
        return super().get_compiler(using, connection, elide_empty)

    def bind(self, tenant_id: str | None, what: str | None = None) -> None:
        """Belong to one tenant from now on. Raises ``WrongTenant`` when it belongs to another already."""
        if self.tenant_id is None:
            self.tenant_id = tenant_id
        elif tenant_id is not None and tenant_id != self.tenant_id:
            memory.require_database(what or _name(self.model), tenant_id, self.tenant_id)

    def check_query_object_type(self, value: Any, opts: Any, field: Any) -> None:
        # A condition keeps the object's key only, and the key may be somebody else's here.
        self.bind(remembered_by(value), f"This {type(value).__name__}")
        super().check_query_object_type(value, opts, field)

    def combine(self, rhs: Any, connector: Any) -> None:
        self.bind(getattr(rhs, "tenant_id", None))
        super().combine(rhs, connector)


class _Rows:
    """``_result_cache``: rows once fetched are read while their tenant is in context only."""

    def __get__(self, queryset: Any, owner: Any) -> Any:
        if queryset is None:
            return self
        rows = queryset.__dict__["_result_cache"]
        if rows is not None:
            queryset._require_context()
        return rows

    def __set__(self, queryset: Any, rows: Any) -> None:
        queryset.__dict__["_result_cache"] = rows


class TenantRawQuerySet(RawQuerySet):  # type: ignore[type-arg]
    """``raw()``, remembering its tenant like the queryset it came from."""

    _result_cache = _Rows()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tenant_id = memory.current_id()
        super().__init__(*args, **kwargs)

    @property
    def db(self) -> str:
        alias: str = super().db
        memory.require_database(_name(self.model), self._tenant_id, alias)
        return alias

    def _clone(self) -> TenantRawQuerySet:
        clone: TenantRawQuerySet = super()._clone()  # type: ignore[misc]
        clone._tenant_id = self._tenant_id
        return clone

    def _require_context(self) -> None:
        memory.require_context(_name(self.model), self._tenant_id)


class TenantQuerySet(_QuerySet[M]):
    """What the managers of tenant models return. Subclass it for methods of your own."""

    _result_cache = _Rows()
    _query: Any
    _db: str | None
    _hints: dict[str, Any]

    def __init__(
        self, model: Any = None, query: Any = None, using: str | None = None, hints: Any = None
    ) -> None:
        super().__init__(model, TenantQuery(model) if query is None else query, using, hints)
        if self._hints:
            self._bind_to_hint()

    # Binding.

    def _clone(self) -> Any:
        clone: Any = super()._clone()  # type: ignore[misc]
        if clone._tenant_id is None:
            clone._query.tenant_id = memory.current_id()
        return clone

    def _add_hints(self, **hints: Any) -> None:
        super()._add_hints(**hints)  # type: ignore[misc]
        self._bind_to_hint()

    def _bind_to_hint(self) -> None:
        instance = self._hints.get("instance")
        if (tenant_id := remembered_by(instance)) is not None:
            self._query.bind(tenant_id, f"This {type(instance).__name__}")

    def _bound(self) -> Any:
        """This queryset, or a clone for the tenant in context: who is nobody's must not keep rows."""
        is_bound = self._tenant_id is not None or self._db is not None
        # With no tenant there is nothing to bind it to; the router says so.
        return self if is_bound or memory.current_id() is None else self._chain()  # type: ignore[attr-defined]

    @property
    def _tenant_id(self) -> str | None:
        # A plain query, put in by hand, remembers nothing.
        tenant_id: str | None = getattr(self._query, "tenant_id", None)
        return tenant_id

    # What runs, and what reads rows.

    @property
    def db(self) -> str:
        alias: str = super().db
        memory.require_database(_name(self.model), self._tenant_id, alias)
        return alias

    def _require_context(self) -> None:
        remembered = self._tenant_id
        # Named by its alias outside of any context, it is read there too, but not in another tenant's.
        if remembered is not None or memory.current_id() is not None:
            memory.require_context(_name(self.model), remembered or self._db)

    def __iter__(self) -> Iterator[Any]:
        bound = self._bound()
        return self._watch(super().__iter__()) if bound is self else iter(bound)

    def __aiter__(self) -> AsyncIterator[Any]:
        bound = self._bound()
        return self._awatch(super().__aiter__()) if bound is self else aiter(bound)

    def _watch(self, rows: Iterator[Any]) -> Iterator[Any]:
        """An iterator may be kept as well, and be pulled elsewhere."""
        for row in rows:
            self._require_context()
            yield row

    async def _awatch(self, rows: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for row in rows:
            self._require_context()
            yield row

    def __len__(self) -> int:
        bound = self._bound()
        return super().__len__() if bound is self else len(bound)

    def __bool__(self) -> bool:
        bound = self._bound()
        return super().__bool__() if bound is self else bool(bound)

    def __getstate__(self) -> Any:
        bound = self._bound()
        return super().__getstate__() if bound is self else bound.__getstate__()

    def _iterator(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return self._watch(super()._iterator(*args, **kwargs))  # type: ignore[misc]

    def aiterator(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        return self._awatch(super().aiterator(*args, **kwargs))

    def raw(
        self, raw_query: Any, params: Any = (), translations: Any = None, using: str | None = None
    ) -> Any:
        using = using or self._db
        rows = TenantRawQuerySet(
            raw_query, model=self.model, params=params, translations=translations, using=using
        )
        rows._prefetch_related_lookups = self._prefetch_related_lookups[:]  # type: ignore[attr-defined]
        return rows

    # What takes objects and keeps their keys only.

    def _require_own(self, objects: Iterable[object], alias: str) -> None:
        for instance in objects:
            memory.require_database(f"This {type(instance).__name__}", remembered_by(instance), alias)

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        objs = list(objs)
        self._for_write = True
        self._require_own(objs, self.db)
        return super().bulk_create(objs, *args, **kwargs)

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        objs = list(objs)
        self._for_write = True
        self._require_own(objs, self.db)
        return super().bulk_update(objs, fields, batch_size)

    def update(self, **kwargs: Any) -> int:
        self._for_write = True
        self._require_own(kwargs.values(), self.db)
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]  # as Django marks its own

    def contains(self, obj: models.Model) -> bool:
        self._require_own([obj], self.db)
        return super().contains(obj)

    @classmethod
    def as_manager(cls) -> Any:
        manager: Any = TenantManager.from_queryset(cls)()
        manager._built_with_as_manager = True
        return manager

    as_manager.queryset_only = True  # type: ignore[attr-defined]


def _require_own_objects(method: Callable[..., Any]) -> Callable[..., Any]:
    """For ``remove()`` of a related manager, which looks at keys only (Django asks the router, as for
    ``add()``, in no release)."""

    @functools.wraps(method)
    def guarded(self: Any, *objs: Any, **kwargs: Any) -> Any:
        remembered = remembered_by(self.instance)
        for obj in objs:
            memory.require_database(f"This {type(obj).__name__}", remembered_by(obj), remembered)
        return method(self, *objs, **kwargs)

    return guarded


class TenantManager(models.Manager.from_queryset(TenantQuerySet)):  # type: ignore[misc]
    """The manager of tenant models: ``TenantManager.from_queryset(…)`` for one with methods of its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Django makes the manager of a relation as a subclass of the related model's default manager
        # (django/db/models/fields/related_descriptors.py, create_forward_many_to_many_manager).
        if "remove" in cls.__dict__:
            cls.remove = _require_own_objects(cls.__dict__["remove"])
