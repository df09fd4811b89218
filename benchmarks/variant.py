"""``python -m benchmarks.variant GUESTS``: one variant, in a process of its own; ``GUESTS`` is a JSON file.

The settings come from the environment. Requests go round the guests, so that a variant with tenants serves
another one each time.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.calls import Reply, call, environ
from benchmarks.instrument import answer
from benchmarks.stage import Guest, cursor

LIST, DETAIL, CREATE = "list", "detail", "create"
CATEGORIES = tuple(f"{case} of categories" for case in (LIST, DETAIL, CREATE))


def cases(application: Any, guests: list[Guest]) -> dict[str, Callable[[], Any]]:
    product, category = rows.key("product", 17), rows.key("category", 3)
    return {
        LIST: _reads(application, guests, "/api/products/"),
        DETAIL: _reads(application, guests, f"/api/products/{product}/"),
        CREATE: _creates(application, guests, "/api/products/", rows.product),
        CATEGORIES[0]: _reads(application, guests, "/api/categories/"),
        CATEGORIES[1]: _reads(application, guests, f"/api/categories/{category}/"),
        CATEGORIES[2]: _creates(application, guests, "/api/categories/", rows.category),
    }


def _reads(application: Any, guests: list[Guest], path: str) -> Callable[[], Any]:
    requests = itertools.cycle([environ(guest, "GET", path) for guest in guests])
    return lambda: _expect(200, call(application, next(requests)))


def _creates(
    application: Any, guests: list[Guest], path: str, body: Callable[[int], Any]
) -> Callable[[], Any]:
    bases = itertools.cycle([environ(guest, "POST", path, {}) for guest in guests])
    numbers = itertools.count()

    def create() -> Any:
        data = json.dumps(body(next(numbers))).encode()
        request = {**next(bases), "wsgi.input": data, "CONTENT_LENGTH": str(len(data))}
        return _expect(201, call(application, request))

    return create


def _expect(status: int, reply: Reply) -> Reply:
    if reply.status != status:
        raise SystemExit(f"Answered {reply.status}, not {status}: {reply.body[:500]!r}")
    return reply


def _delete(host: str, guests: list[Guest]) -> None:
    """Every turn finds the same rows, and no dead ones."""
    for guest in guests:
        with cursor(host, guest.database) as found:
            for statement in rows.DELETE:
                found.execute(statement.format(schema=guest.schema))
            found.execute(f"VACUUM {guest.schema}.catalog_product, {guest.schema}.catalog_category")


def require_stock_django() -> None:
    """Comparators use ``tenancy.rest``; nothing that is imported with it may have changed Django for them.
    Raises ``SystemExit``."""
    from django.core.handlers.base import BaseHandler
    from django.db import connections
    from django.db.models import QuerySet

    parts = (type(connections), connections.all, BaseHandler.make_view_atomic, QuerySet._clone)
    changed = [part for part in parts if not part.__module__.startswith("django.")]
    if changed:
        raise SystemExit(f"This is no plain Django: {changed}")


def main(file: Path) -> None:
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    host, *entries = json.loads(file.read_text())
    guests = [Guest(**entry) for entry in entries]
    application = get_wsgi_application()
    if settings.ROOT_URLCONF.startswith("benchmarks."):
        require_stock_django()
    after = {case: lambda: _delete(host, guests) for case in (CREATE, CATEGORIES[2])}
    answer(cases(application, guests), after, middleware=len(settings.MIDDLEWARE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
