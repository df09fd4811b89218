"""A query that is asked on every request, made into SQL once.

Django builds a query anew each time it is asked: for the one that authenticates a request, several times what
the database needs to answer it. Here the ORM makes the SQL once per process, and each call executes it.

Private API, read in Django 5.2.19 (``django/db/models/query.py``, ``ModelIterable``, and
``django/db/models/sql/compiler.py``): a compiler's ``select``, ``klass_info``, ``annotation_col_map`` and
``get_converters()``, and ``get_related_populators()``; a row becomes an object as it does there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from django.db import connections
from django.db.models import Field, Model, QuerySet
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=Model)


class PreparedQuery(Generic[M]):
    """A query of one row at most.

    ``make`` returns the queryset for values given by name, each the name of a field of its model; ``samples``
    are values of the right types, no two alike, by which the places of the values in the SQL are found."""

    def __init__(self, make: Callable[..., QuerySet[M]], **samples: Any) -> None:
        self._make = make
        self._samples = samples
        self._alias = ""
        self._statement: _Statement | None = None

    def first(self, **values: Any) -> M | None:
        """The row, or None."""
        alias = self._alias or self._make(**self._samples).db
        connection = connections[alias]
        if self._statement is None:
            # Two threads may both do it, to the same end.
            self._statement = _Statement(self._make(**self._samples), self._samples, connection)
            self._alias = alias
        return self._statement.first(values, connection)


class _Statement:
    def __init__(self, queryset: QuerySet[Any], samples: Mapping[str, Any], connection: Any) -> None:
        compiler: Any = queryset.query.get_compiler(connection=connection)
        self.sql, params = compiler.as_sql()
        self.alias = connection.alias
        self.fields: dict[str, Field[Any, Any]] = {
            name: queryset.model._meta.get_field(name) for name in samples
        }
        places = {self._adapt(name, sample, connection): name for name, sample in samples.items()}
        #: For each parameter the name of its value, or the parameter itself.
        self.params = [(places.get(param), param) for param in params]
        if sorted(filter(None, (name for name, _ in self.params))) != sorted(samples):
            raise ValueError(f"Each of {', '.join(samples)} must appear once in the query.")
        info = compiler.klass_info
        self.model: type[Any] = info["model"]
        first, last = info["select_fields"][0], info["select_fields"][-1] + 1
        self.columns = slice(first, last)
        self.names = [column[0].target.attname for column in compiler.select[first:last]]
        self.converters = compiler.get_converters(column[0] for column in compiler.select)
        self.related = get_related_populators(info, compiler.select, self.alias)
        self.annotations = compiler.annotation_col_map or {}

    def _adapt(self, name: str, value: Any, connection: Any) -> Any:
        return self.fields[name].get_db_prep_value(value, connection)

    def first(self, values: Mapping[str, Any], connection: Any) -> Any:
        adapted = {name: self._adapt(name, value, connection) for name, value in values.items()}
        with connection.cursor() as cursor:
            cursor.execute(
                self.sql, [param if name is None else adapted[name] for name, param in self.params]
            )
            found = cursor.fetchone()
        if found is None:
            return None
        row = list(found)
        for position, (convert, expression) in self.converters.items():
            for converter in convert:
                row[position] = converter(row[position], expression, connection)
        made = self.model.from_db(self.alias, self.names, row[self.columns])
        for populator in self.related:
            populator.populate(row, made)
        for name, position in self.annotations.items():
            setattr(made, name, row[position])
        return made
