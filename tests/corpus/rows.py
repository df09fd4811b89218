"""Rows that the corpus's migrations write and read, so that later ones change tables with something in them.

What is written is the same every time; a few values are each database's own, and are said to be so in the
test.
"""

from __future__ import annotations

from typing import Any


def _objects(apps: Any, schema_editor: Any, name: str) -> Any:
    return apps.get_model("corpus", name).objects.using(schema_editor.connection.alias)


def write_library(apps: Any, schema_editor: Any) -> None:
    for number, name in enumerate(("Ada", "Bertha", "Clara"), 1):
        _objects(apps, schema_editor, "Author").create(id=number, name=name, born=1900 + number)
    for number, code in enumerate(("A", "B"), 1):
        _objects(apps, schema_editor, "Shelf").create(id=number, code=code)
    for number in range(1, 5):
        _objects(apps, schema_editor, "Book").create(
            id=number,
            title=f"Book {number}",
            author_id=1 + number % 3,
            pages=None if number == 2 else 100 * number,
            shelf_id=1 + number % 2,
        )


def erase_library(apps: Any, schema_editor: Any) -> None:
    for name in ("Book", "Shelf", "Author"):
        _objects(apps, schema_editor, name).all().delete()


def number_books(apps: Any, schema_editor: Any) -> None:
    """Reads what is there before it writes."""
    for book in _objects(apps, schema_editor, "Book").order_by("id"):
        book.isbn = f"{book.title}/{book.length}"
        book.save(using=book._state.db, update_fields=["isbn"])


def unnumber_books(apps: Any, schema_editor: Any) -> None:
    _objects(apps, schema_editor, "Book").update(isbn=None)


def count_books(apps: Any, schema_editor: Any) -> None:
    total = _objects(apps, schema_editor, "Book").count()
    _objects(apps, schema_editor, "Kind").create(id=100, name=f"All {total}", slug="all")


def uncount_books(apps: Any, schema_editor: Any) -> None:
    _objects(apps, schema_editor, "Kind").filter(id=100).delete()


def shout_kinds(apps: Any, schema_editor: Any) -> None:
    for kind in _objects(apps, schema_editor, "Kind").order_by("id"):
        kind.name = kind.name.upper()
        kind.save(using=kind._state.db)


def whisper_kinds(apps: Any, schema_editor: Any) -> None:
    for kind in _objects(apps, schema_editor, "Kind").order_by("id"):
        kind.name = kind.name.capitalize()
        kind.save(using=kind._state.db)
