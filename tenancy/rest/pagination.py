from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request


class RowsAfterTheCount(Paginator):  # type: ignore[type-arg]  # no generic class at run time
    """Pages that miss no row when others are added between the count and the reading of the page.

    Django's paginator reads the last page up to the count: of a row that is added in between and sorts
    before others, the last one pays. ``count`` and ``num_pages`` are then those of what was found.
    """

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        if not self.count:
            return Page([], number, self)
        first = (number - 1) * self.per_page
        rows = list(self.object_list[first : first + self.per_page + 1])
        if first + len(rows) > self.count:
            self.count = first + len(rows)
            self.__dict__.pop("num_pages", None)  # of the count before
        return Page(rows[: self.per_page], number, self)


class Pagination(PageNumberPagination):
    """``page`` and ``page_size``: 20, more than 200 is clamped, nonsense is refused."""

    django_paginator_class = RowsAfterTheCount
    page_size = 20
    page_size_query_param = "page_size"
    page_size_query_description = "Results on a page: 20 unless told, 200 at the most."
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get(self.page_size_query_param)
        if text is None:
            return self.page_size
        if not (text.isascii() and text.isdigit() and text.strip("0")):
            raise ValidationError({self.page_size_query_param: ["A whole number from 1 on."]})
        # By length first: int() of a thousand digits is work for nothing.
        return self.max_page_size if len(text) > 6 else min(int(text), self.max_page_size)

    def get_paginated_response_schema(self, schema: Any) -> Any:
        described = super().get_paginated_response_schema(schema)
        described["required"] = ["count", "next", "previous", "results"]
        return described
