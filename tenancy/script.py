"""What a migration said to one database, to be said to others that stand where that one stood.

Everything that Django's operations learn of a database they learn from the answers to their questions
(``SELECT``, ``PRAGMA``). A script holds their statements and those answers. Run against another database it
compares: where one is answered otherwise, that database would have been told something else, and the script
ends with ``Differs``. So it repeats what the operations would have done, or nothing, for the caller undoes
the transaction.

Private API, read in Django 5.2.19: every statement of a schema editor goes through its ``execute``, and every
statement of a connection through ``execute_wrappers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tenancy.exceptions import TenancyError

_SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ")


class Differs(TenancyError):
    """A database answered a question of the script otherwise than the one it was recorded from."""


@dataclass(frozen=True)
class Statement:
    sql: str
    params: Any = None
    #: What was answered, where the operation read it.
    answer: list[tuple[Any, ...]] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is text and nothing else."""
        return self.answer is None and not self.params and (self.params is None or "%" not in self.sql)


@dataclass
class Script:
    """Filled by ``Recording``."""

    statements: list[Statement] = field(default_factory=list)

    def run(self, connection: Any) -> None:
        """In the transaction that is open. Raises ``Differs``, and the database's errors."""
        with connection.cursor() as cursor:
            for sql, params, answer in self._parcels(connection):
                cursor.execute(sql, params)
                if answer is not None and cursor.fetchall() != answer:
                    raise Differs(sql)

    def _parcels(self, connection: Any) -> Iterator[tuple[str, Any, Any]]:
        """PostgreSQL takes many statements in one message; SQLite is in the process, where none are sent."""
        batch: list[str] = []
        for statement in self.statements:
            if statement.is_plain and connection.vendor == "postgresql":
                batch.append(statement.sql)
                continue
            if batch:
                yield _joined(batch), None, None
                batch = []
            yield statement.sql, statement.params, statement.answer
        if batch:
            yield _joined(batch), None, None


def _joined(batch: list[str]) -> str:
    # On lines of their own, for one may end with a comment.
    return "\n;\n".join(batch)


class Recording:
    """Listens to a connection while operations run over it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.script: Script | None = Script()
        self._in_editor = False
        self._paused = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        with self.connection.execute_wrapper(self._note):
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For statements that each database gets its own of."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def attach(self, editor: Any) -> None:
        """Tell what the schema editor orders from what is asked around it."""
        execute = editor.execute

        def noted(*args: Any, **kwargs: Any) -> Any:
            self._in_editor = True
            try:
                return execute(*args, **kwargs)
            finally:
                self._in_editor = False

        editor.execute = noted

    def _note(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if self._paused or self.script is None:
            return result
        if many or type(sql) is not str:
            self.script = None  # of a kind that is not repeated
        elif sql.startswith("ROLLBACK"):
            self.script = None  # an operation tried something, and what it did then is its own
        elif not sql.startswith(_SAVEPOINTS):
            answer = None if self._in_editor else self._ask_again(sql, params, context["cursor"])
            self.script.statements.append(Statement(sql, params, answer))
        return result

    def _ask_again(self, sql: str, params: Any, cursor: Any) -> list[tuple[Any, ...]] | None:
        """The rows of a question, which are the operation's to fetch: asked by us once more."""
        if cursor.cursor.description is None:
            return None
        with self._aside() as other:
            other.execute(sql, params)
            rows: list[tuple[Any, ...]] = other.fetchall()
        return rows

    @contextmanager
    def _aside(self) -> Iterator[Any]:
        with self.paused(), self.connection.cursor() as cursor:
            yield cursor
