"""A column of a report: what its values are, and how they merge over tenants."""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from tenancy.reports.merges import Distinct, Mean, Merge

TYPES: tuple[type, ...] = (str, int, Decimal, float, bool, datetime.date, datetime.datetime)

#: What a number may be: every format, and every sum of a billion of them, has room for it.
_MOST = 10**100
_MOST_FLOAT = 1e290
#: Digits enough for that, before and after the point.
_DIGITS = decimal.Context(prec=1000)


class BadValue(ValueError):
    """A report's function answered with a value that its column does not take."""


@dataclass(frozen=True)
class Column:
    """``kind`` is one of ``TYPES``; ``places`` those of a Decimal after its point.

    Rows are merged by the columns with ``key``: one group for each combination of their values. Each of the
    others says by ``merge`` how; without, it stands in the tenants' rows only. Any value may be None.
    """

    name: str
    kind: type = str
    merge: Merge | None = None
    key: bool = False
    places: int = 2
    #: What the function's rows call it, where that is another name: Django lets no annotation be called as a
    #: field is.
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.places <= 100:
            raise ImproperlyConfigured(f"Column '{self.name}': places are 0 to 100, not {self.places}.")
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ImproperlyConfigured(f"A report's column cannot be called '{self.name}'.")
        if isinstance(self.merge, type):
            raise ImproperlyConfigured(
                f"Column '{self.name}': write {self.merge.__name__}(…), with parentheses."
            )
        if self.kind not in TYPES:
            names = ", ".join(kind.__name__ for kind in TYPES)
            raise ImproperlyConfigured(f"Column '{self.name}': kind is one of {names}.")
        if self.key and self.merge is not None:
            raise ImproperlyConfigured(f"Column '{self.name}' is a key; what is grouped by is not merged.")
        if self.merge is not None and self.merge.takes and self.kind not in self.merge.takes:
            kinds = ", ".join(kind.__name__ for kind in self.merge.takes)
            raise ImproperlyConfigured(f"Column '{self.name}': {self.merge} is for {kinds}.")
        if isinstance(self.merge, Mean) and self.kind is int:
            raise ImproperlyConfigured(f"Column '{self.name}': a mean is seldom whole; use Decimal or float.")

    @property
    def has_many(self) -> bool:
        """Whether a row may have several values."""
        return isinstance(self.merge, Distinct)

    @property
    def is_number(self) -> bool:
        return self.result_type in (int, Decimal, float)

    @property
    def result_type(self) -> type:
        """Of what is merged."""
        return self.kind if self.merge is None or self.merge.gives is None else self.merge.gives

    def clean(self, value: Any) -> Any:
        """A value as it is written and merged. Raises ``BadValue``, which does not show it: it is a
        tenant's."""
        if value is None:
            return None
        if self.has_many and isinstance(value, list | tuple | set | frozenset):
            return tuple(self._clean(one) for one in value if one is not None)
        return self._clean(value)

    def _clean(self, value: Any) -> Any:
        kind = self.kind
        try:
            if kind is Decimal and not isinstance(value, bool):
                return self._round(value)
            if kind is float and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
                found = float(value)
                if abs(found) < _MOST_FLOAT:
                    return found + 0.0  # no negative zero, which is written in another way
            if kind is int and _is_whole(value) and -_MOST < value < _MOST:
                return int(value)
            if kind is datetime.datetime:
                return _moment(value)
            if kind is datetime.date:
                return _day(value)
            if kind is bool and value in (0, 1):  # SQLite's, in SQL of one's own
                return bool(value)
            if kind is str and isinstance(value, str | uuid.UUID):
                value = str(value)  # without a class of its own, as an enumeration's
                value.encode()  # raises for half a character, which JSON may hold and no file can
                return value
        except (ValueError, OverflowError, decimal.DecimalException):
            pass
        raise BadValue(f"column '{self.name}' takes {kind.__name__}, and got {type(value).__name__}")

    def _round(self, value: Any) -> Decimal:
        """SQLite computes in floating point and returns more digits than money has."""
        if isinstance(value, Fraction):
            # Twice rounded would be rounded wrongly, so once: to whole units of the last place.
            return Decimal(round(value * 10**self.places)).scaleb(-self.places, _DIGITS)
        if not isinstance(value, int | float | Decimal):
            raise BadValue
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not (number.is_finite() and abs(number) < _MOST):
            raise BadValue
        rounded = number.quantize(Decimal(1).scaleb(-self.places), decimal.ROUND_HALF_EVEN, _DIGITS)
        return rounded or abs(rounded)  # no negative zero

    def finish(self, result: Any) -> Any:
        """A merge's result as a value of this column."""
        if result is None:
            return None
        if self.result_type is Decimal:
            return self._round(result)
        return float(result) if self.result_type is float else result

    # As text, for machines and for people

    def plain(self, value: Any) -> Any:
        """For JSON and CSV: text, a whole number, a float, or None. Money is text."""
        if isinstance(value, tuple):
            return len(set(value))
        if isinstance(value, datetime.datetime):
            return value.isoformat().replace("+00:00", "Z")
        if isinstance(value, datetime.date):
            return value.isoformat()
        return f"{value:f}" if isinstance(value, Decimal) else value

    def shown(self, value: Any) -> str:
        """For people."""
        if value is None:
            return ""
        if isinstance(value, tuple):
            return f"{len(set(value)):,}"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, Decimal):
            return f"{value:,f}"
        if isinstance(value, float):
            return f"{value:,.6g}"
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, datetime.datetime):
            return f"{value:%Y-%m-%d %H:%M}"
        # What a terminal would obey, or a table be broken by.
        return "".join(letter if letter.isprintable() else "?" for letter in str(value))


#: What the report itself says of a row.
RESERVED = frozenset({"tenant", "result", "answered", "tenants", "known"})


def _is_whole(value: Any) -> bool:
    return isinstance(value, Decimal | float | int) and not isinstance(value, bool) and int(value) == value


def _moment(value: Any) -> datetime.datetime:
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    if not isinstance(value, datetime.datetime):
        raise BadValue
    # Django keeps times in UTC where it keeps them without a zone, as in SQLite. One zone for all: two that
    # have a zone of clock changes in common compare by what the clock shows, which is two hours at once then.
    value = value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)
    return datetime.datetime.combine(value.date(), value.time(), datetime.UTC)  # of no class of its own


def _day(value: Any) -> datetime.date:
    if isinstance(value, datetime.datetime):
        raise BadValue
    if isinstance(value, str):
        return datetime.date.fromisoformat(value)
    if not isinstance(value, datetime.date):
        raise BadValue
    return datetime.date(value.year, value.month, value.day)
