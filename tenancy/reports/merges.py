"""How the values of a column become one, over the rows of many tenants.

Each merge is a commutative semigroup: rows may come in any order and in any parts, and the result is that of
all rows at once. Sums are exact, of floating-point numbers too: these are added as fractions and rounded
once, so a result does not depend on which tenant answered first.
"""

from __future__ import annotations

import decimal
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

#: Adds and multiplies without rounding; what would need more digits raises ``decimal.Inexact``.
EXACT = decimal.Context(prec=10_000, traps=[decimal.Inexact, decimal.InvalidOperation])

Number = int | Decimal | Fraction


class Merge(ABC):
    """``lift`` makes a state of one value, which is never None; ``combine`` one of two, and may change the
    first; ``result`` what is shown. No value at all is a ``nothing``, as an aggregate in SQL is NULL."""

    #: What the column's values have to be; empty for anything.
    takes: ClassVar[tuple[type, ...]] = ()
    #: What results are; None for what the values are.
    gives: ClassVar[type | None] = None
    #: The result of no values.
    nothing: ClassVar[Any] = None
    #: What a row's number in this column is called beside it in a table; nothing where it is the values' own.
    unit: ClassVar[str] = ""

    @abstractmethod
    def lift(self, value: Any, weight: Any) -> Any: ...

    @abstractmethod
    def combine(self, one: Any, other: Any) -> Any: ...

    def fold(self, state: Any, value: Any, weight: Any) -> Any:
        """``combine`` with what ``lift`` makes of a value; faster where that is more than the value."""
        return self.combine(state, self.lift(value, weight))

    def result(self, state: Any) -> Any:
        return state

    def __str__(self) -> str:
        return type(self).__name__.lower()


class Sum(Merge):
    takes = (int, Decimal, float)

    def lift(self, value: Any, weight: Any) -> Number:
        return exact(value)

    def combine(self, one: Number, other: Number) -> Number:
        return add(one, other)


class Min(Merge):
    def lift(self, value: Any, weight: Any) -> Any:
        return value

    def combine(self, one: Any, other: Any) -> Any:
        return min(one, other)


class Max(Merge):
    def lift(self, value: Any, weight: Any) -> Any:
        return value

    def combine(self, one: Any, other: Any) -> Any:
        return max(one, other)


class Count(Merge):
    """How many rows have a value. What a tenant has counted already is merged by ``Sum``."""

    gives = int
    nothing = 0
    unit = "values"

    def lift(self, value: Any, weight: Any) -> int:
        return 1

    def combine(self, one: int, other: int) -> int:
        return one + other


class Distinct(Merge):
    """How many different values there are. A row has one value, or a list of them."""

    gives = int
    nothing = 0
    unit = "different"

    def lift(self, value: Any, weight: Any) -> set[Any]:
        return set(value) if isinstance(value, tuple) else {value}

    def combine(self, one: set[Any], other: set[Any]) -> set[Any]:
        one |= other
        return one

    def result(self, state: set[Any]) -> int:
        return len(state)


@dataclass(frozen=True)
class Mean(Merge):
    """The mean of the rows' means, each with the ``weight`` that another column says: how many it is of.

    A mean that a database has rounded is merged as it is. Where that matters, let rows have the sum and the
    count, and divide when it is read.
    """

    weight: str

    takes = (int, Decimal, float)

    def lift(self, value: Any, weight: Any) -> tuple[Number, Number]:
        share = exact(weight or 0)
        if share < 0:
            raise ValueError(f"the weight '{self.weight}' is below zero")
        return multiply(exact(value), share), share

    def combine(self, one: tuple[Number, Number], other: tuple[Number, Number]) -> tuple[Number, Number]:
        return add(one[0], other[0]), add(one[1], other[1])

    def result(self, state: tuple[Number, Number]) -> Fraction | None:
        total, weight = state
        return Fraction(total) / Fraction(weight) if weight else None

    def __str__(self) -> str:
        return f"mean by {self.weight}"


def exact(value: Any) -> Number:
    return Fraction(value) if isinstance(value, float) else value


def add(one: Number, other: Number) -> Number:
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return EXACT.add(one, other)
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return Fraction(one) + Fraction(other)


def multiply(one: Number, other: Number) -> Number:
    if isinstance(one, Decimal) and isinstance(other, Decimal | int):
        return EXACT.multiply(one, Decimal(other))
    if isinstance(one, int) and isinstance(other, int):
        return one * other
    return Fraction(one) * Fraction(other)


def merged(merge: Merge, values: Iterable[tuple[Any, Any]]) -> Any:
    """The result of pairs of value and weight, of which None counts for nothing."""
    state = None
    for value, weight in values:
        if value is not None:
            state = merge.lift(value, weight) if state is None else merge.fold(state, value, weight)
    return merge.nothing if state is None else merge.result(state)
