"""Merges whose exact state would be all rows: percentiles, and the most frequent values.

They keep a sketch of bounded size, of Apache DataSketches, which is installed for them only
(``pip install datasketches``). Small inputs are answered exactly, large ones within an error that does not
depend on how many tenants the rows come from; since a sketch draws lots, two runs may differ within it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from tenancy.reports.merges import Merge

#: Size of a sketch of quantiles: exact up to so many values, then within 1.33 % of their ranks, 99 times of
#: 100 (https://datasketches.apache.org/docs/KLL/KLLAccuracyAndSize.html).
ACCURACY = 200
#: The binary logarithm of how many different values are counted at once. A value that has more than one in
#: eleven hundred of all rows is never missed (3.5 / 2^12 of them,
#: https://datasketches.apache.org/docs/Frequency/FrequentItemsOverview.html).
WIDTH = 12


def _library(merge: Merge) -> Any:
    try:
        import datasketches  # late: an extra, and numpy with it
    except ImportError as exc:
        raise ImproperlyConfigured(
            f"'{merge}' needs the package 'datasketches'; run `pip install datasketches`."
        ) from exc
    return datasketches


class Sketch(Merge):
    """A merge whose state is one of the library's sketches."""

    @abstractmethod
    def begin(self) -> Any:
        """One of nothing yet."""

    def lift(self, value: Any, weight: Any) -> Any:
        return self.fold(self.begin(), value, weight)

    def combine(self, one: Any, other: Any) -> Any:
        one.merge(other)
        return one


@dataclass(frozen=True)
class Percentile(Sketch):
    """The value below which ``percent`` of the rows' values lie, as PostgreSQL's ``percentile_disc``."""

    percent: float

    takes = (int, Decimal, float)

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ImproperlyConfigured(f"A percentile is from 0 to 100, not {self.percent}.")
        _library(self)

    def begin(self) -> Any:
        return _library(self).kll_doubles_sketch(ACCURACY)

    def fold(self, state: Any, value: Any, weight: Any) -> Any:
        state.update(float(value))
        return state

    def result(self, state: Any) -> float:
        if self.percent in (0, 100):  # which it knows exactly
            return float(state.get_min_value() if self.percent == 0 else state.get_max_value())
        return float(state.get_quantile(self.percent / 100, True))

    def __str__(self) -> str:
        return f"percentile {self.percent:g}"


@dataclass(frozen=True)
class Top(Sketch):
    """The ``count`` most frequent texts and how often each is there, most frequent first: ``a 12, b 7``."""

    count: int

    takes = (str,)
    gives = str

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 100:
            raise ImproperlyConfigured(f"The top is of 1 to 100, not {self.count}.")
        _library(self)

    def begin(self) -> Any:
        return _library(self).frequent_strings_sketch(WIDTH)

    def fold(self, state: Any, value: Any, weight: Any) -> Any:
        state.update(value)
        return state

    def result(self, state: Any) -> str:
        kind = _library(self).frequent_items_error_type.NO_FALSE_NEGATIVES
        found = sorted(state.get_frequent_items(kind), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{item[0]} {item[1]:,}" for item in found[: self.count])

    def __str__(self) -> str:
        return f"top {self.count}"
