"""The rows of many tenants, merged by a report's keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from tenancy.reports.columns import Column
from tenancy.reports.report import Report, Row


class Totals:
    """Holds one state for each group and column, and no rows.

    Groups are those of the report's keys, or only of the keys named in ``by``.
    """

    def __init__(self, report: Report, by: Collection[Column] | None = None) -> None:
        self.report = report
        keys = report.keys if by is None else by
        #: What its rows consist of.
        self.columns = tuple(
            column for column in report.columns if column in keys or column.merge is not None
        )
        columns = list(enumerate(report.columns))
        place = {column.name: number for number, column in columns}
        self._keys = [number for number, column in columns if column in keys]
        #: The merge, where its value stands in a row, and where its weight does.
        self._merges = [
            (column.merge, number, place.get(getattr(column.merge, "weight", ""), number))
            for number, column in columns
            if column.merge is not None
        ]
        self._groups: dict[Row, list[Any]] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Raises ``ValueError`` for a weight below zero; then nothing of these rows may be used."""
        for row in rows:
            key = tuple(row[number] for number in self._keys)
            states = self._groups.get(key)
            if states is None:
                states = self._groups[key] = [None] * len(self._merges)
            for place, (merge, number, weight) in enumerate(self._merges):
                value = row[number]
                if value is not None:
                    state = states[place]
                    states[place] = (
                        merge.lift(value, row[weight])
                        if state is None
                        else merge.fold(state, value, row[weight])
                    )

    def combine(self, other: Totals) -> None:
        """Take over what another has, which is of no use after."""
        for key, theirs in other._groups.items():
            ours = self._groups.get(key)
            if ours is None:
                self._groups[key] = theirs
                continue
            for place, (merge, _, _) in enumerate(self._merges):
                one, state = ours[place], theirs[place]
                if one is None or state is None:
                    ours[place] = state if one is None else one
                else:
                    ours[place] = merge.combine(one, state)

    def rows(self) -> list[Row]:
        """One for each group, sorted by its keys; None comes first."""
        return [self._row(key) for key in sorted(self._groups, key=_order)]

    def _row(self, key: Row) -> Row:
        keys = iter(key)
        results = iter(
            merge.nothing if state is None else merge.result(state)
            for state, (merge, _, _) in zip(self._groups[key], self._merges, strict=True)
        )
        return tuple(next(keys) if column.key else column.finish(next(results)) for column in self.columns)


def _order(key: Row) -> list[tuple[bool, Any]]:
    return [(value is not None, value) for value in key]
