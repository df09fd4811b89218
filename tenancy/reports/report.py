"""A report: a function of one tenant, and what its rows mean.

An app that knows the data declares it in its module ``reports``::

    @report(
        "inventory",
        Column("currency", key=True),
        Column("products", int, Sum()),
        below=forms.IntegerField(initial=5),
    )
    def inventory(*, below):
        \"\"\"Products by currency, with fewer than ``below`` pieces.\"\"\"
        return Product.objects.filter(stock__lt=below).values("currency").annotate(products=Count("pk"))

The function runs with its tenant in context and knows nothing of others. It is given its parameters by name,
checked, and returns a queryset of ``values()``, any iterable of mappings, or ``SQL``.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connections
from django.db.models import QuerySet
from django.forms import Field
from django.utils.module_loading import autodiscover_modules

from tenancy.context import require_tenant
from tenancy.exceptions import TenancyError
from tenancy.reports.columns import BadValue, Column
from tenancy.reports.merges import Mean

F = TypeVar("F", bound=Callable[..., Any])
#: The values of one row, in the order of the columns.
Row = tuple[Any, ...]

#: Rows taken from a cursor at a time.
CHUNK = 2000


class ReportNotFound(TenancyError, LookupError):
    """No app declares a report of this name."""


class ParametersRefused(TenancyError, ValueError):
    """A parameter is unknown, missing or not valid."""


class TooManyRows(TenancyError):
    """A tenant's answer is longer than anybody wants to keep."""


@dataclass(frozen=True)
class SQL:
    """A query for a report to return, whose columns are called as the report's."""

    text: str
    parameters: tuple[Any, ...] | Mapping[str, Any] = ()


@dataclass(frozen=True)
class Report:
    name: str
    columns: tuple[Column, ...]
    function: Callable[..., Any] = field(compare=False)
    parameters: Mapping[str, Field] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", self.name):
            raise ImproperlyConfigured(f"A report is called by a-z, 0-9 and '-', not '{self.name}'.")
        sources = {column.source or column.name for column in self.columns}
        if not names or len(set(names)) < len(names) or len(sources) < len(names):
            raise ImproperlyConfigured(
                f"Report '{self.name}' needs columns, each with a name and a source of its own."
            )
        for column in self.columns:
            if isinstance(column.merge, Mean):
                weights = [each for each in self.columns if each.name == column.merge.weight]
                if not (weights and weights[0].kind in column.merge.takes) or weights[0].has_many:
                    weight = column.merge.weight
                    raise ImproperlyConfigured(f"Report '{self.name}' has no numbers in a column '{weight}'.")

    @property
    def description(self) -> str:
        """The first paragraph of what the function says of itself."""
        words = (inspect.getdoc(self.function) or "").split("\n\n")[0].split()
        return " ".join(words).replace("``", "")

    @property
    def keys(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.key)

    def clean(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the function is called with. Raises ``ParametersRefused``."""
        for name in given:
            if name not in self.parameters:
                close = difflib.get_close_matches(name, self.parameters, n=1)
                takes = f"it takes {', '.join(self.parameters)}." if self.parameters else "it takes none."
                guess = f"did you mean '{close[0]}'?" if close else takes
                raise ParametersRefused(f"Report '{self.name}' has no parameter '{name}': {guess}")
        found = {}
        for name, parameter in self.parameters.items():
            initial = parameter.initial() if callable(parameter.initial) else parameter.initial
            try:
                found[name] = parameter.clean(given.get(name, initial))
            except ValidationError as exc:
                raise ParametersRefused(f"Parameter '{name}': {' '.join(exc.messages)}") from exc
        return found

    def given(self, texts: dict[str, str]) -> dict[str, str]:
        """Parameters as another process is to be given them: what a default works out is worked out here, for
        all of them alike."""
        worked_out = {
            name: str(parameter.prepare_value(parameter.initial()))
            for name, parameter in self.parameters.items()
            if callable(parameter.initial)
        }
        return {**worked_out, **texts}

    def ask(self, parameters: Mapping[str, Any], limit: int) -> list[Row]:
        """The rows of the tenant in context, for parameters that ``clean`` made.

        Raises ``TooManyRows`` for more than ``limit``, ``BadValue`` for a row that is not as declared, and
        what the function raises.
        """
        found: list[Row] = []
        for row in self._rows(self.function(**parameters), limit):
            if len(found) == limit:
                raise TooManyRows(f"more than {limit:,} rows; ask for fewer, or raise --rows")
            found.append(row)
        return found

    def _rows(self, answer: Any, limit: int) -> Iterator[Row]:
        if isinstance(answer, SQL):
            yield from self._of_sql(answer)
            return
        if isinstance(answer, QuerySet):
            # All at once: they are kept anyway, and a cursor of the server's is three more trips to it. No
            # more of them than it takes to know that there are too many.
            answer = answer[: limit + 1]
        if not isinstance(answer, Iterable) or isinstance(answer, str | bytes | Mapping):
            raise BadValue(f"it returned {type(answer).__name__}, which has no rows")
        for row in answer:
            if not isinstance(row, Mapping):
                raise BadValue(f"a row is {type(row).__name__}; return values(), mappings or SQL")
            yield self._row(row)

    def _of_sql(self, query: SQL) -> Iterator[Row]:
        with connections[require_tenant("A report").id].cursor() as cursor:
            cursor.execute(query.text, query.parameters or None)
            if cursor.description is None:
                raise BadValue("its SQL answers with no rows")
            names = [column[0] for column in cursor.description]
            if len(set(names)) < len(names):
                raise BadValue("its SQL has two columns of one name")
            while rows := cursor.fetchmany(CHUNK):
                for row in rows:
                    yield self._row(dict(zip(names, row, strict=True)))

    def _row(self, row: Mapping[str, Any]) -> Row:
        try:
            found = tuple(column.clean(row[column.source or column.name]) for column in self.columns)
        except KeyError as exc:
            raise BadValue(f"a row has no {exc.args[0]!r}") from exc
        if len(row) > len(self.columns):
            unknown = sorted(set(row) - {column.source or column.name for column in self.columns})
            raise BadValue(f"a row has '{unknown[0]}', which is no column")
        return found


_reports: dict[str, Report] = {}


def report(name: str, *columns: Column, **parameters: Field) -> Callable[[F], F]:
    """Declare the function that follows as a report. ``parameters`` are fields of Django's forms, whose
    ``initial`` is the default. Raises ``ImproperlyConfigured``."""

    def declare(function: F) -> F:
        declared = Report(name, columns, function, parameters)
        takes = inspect.signature(function).parameters
        takes_any = any(each.kind is each.VAR_KEYWORD for each in takes.values())
        if not takes_any and takes.keys() != parameters.keys():
            raise ImproperlyConfigured(
                f"Report '{name}' in {function.__module__} declares the parameters "
                f"({', '.join(parameters)}), and its function takes ({', '.join(takes)}); make them the same."
            )
        before = _reports.get(name)
        if before is not None and _place(before.function) != _place(function):
            raise ImproperlyConfigured(
                f"Two reports are called '{name}': in {before.function.__module__}, {function.__module__}."
            )
        _reports[name] = declared
        return function

    return declare


def _place(function: Callable[..., Any]) -> tuple[str, str]:
    """The same for a module that is loaded again."""
    return function.__module__, function.__qualname__


def all_reports() -> list[Report]:
    """What the installed apps declare, by name."""
    apps.check_apps_ready()
    autodiscover_modules("reports")
    return [_reports[name] for name in sorted(_reports)]


def get_report(name: str) -> Report:
    """Raises ``ReportNotFound``."""
    known = {declared.name: declared for declared in all_reports()}
    try:
        return known[name]
    except KeyError:
        close = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean '{close[0]}'?" if close else "`manage.py report --list` shows what there is."
        raise ReportNotFound(f"No report is called '{name}': {guess}") from None
