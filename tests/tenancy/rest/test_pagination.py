"""A page shows every row that was there when it was asked for, whatever is added meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.core.paginator import Paginator

from tenancy.rest.pagination import RowsAfterTheCount


class Growing(Sequence[str]):
    """Rows in order, of which somebody adds one right after they are counted."""

    def __init__(self, rows: str, added: str) -> None:
        self.rows, self.added = sorted(rows), added

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def count(self) -> int:
        count = len(self.rows)
        self.rows = sorted([*self.rows, *self.added])
        return count


@pytest.mark.parametrize(
    ("rows", "page", "shown", "count"),
    [
        ("bcd", 1, "abcd", 4),
        ("bcdefgh", 2, "efgh", 8),
        # The page that fills up shows what it has room for, and says that there is another.
        ("bcde", 1, "abcd", 5),
        ("bcdefghi", 2, "efgh", 9),
        ("bcdef", 1, "abcd", 5),
        ("", 1, "", 0),
    ],
)
def test_a_row_added_after_the_count_costs_no_other_its_place(rows, page, shown, count):
    paginator = RowsAfterTheCount(Growing(rows, "a"), 4)
    found = paginator.page(page)
    assert "".join(found) == shown
    assert paginator.count == count
    assert found.has_next() is (count > 4 * page)


def test_without_it_the_last_row_is_missing():
    assert "".join(Paginator(Growing("bcd", "a"), 4).page(1)) == "abc"
