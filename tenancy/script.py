"""What a migration said to one database, to be said to others that stand where that one stood.

Everything that Django's operations learn of a database they learn from the answers to their questions
(``SELECT``, ``PRAGMA``). A script holds their statements and those answers. Run against another database it
compares: where one is answered otherwise, that database would have been told something else, and the script
ends with ``Differs``. The same rows in another order are the same answer, unless an order was asked for: any
would have been right of the first database, too. So it repeats what the operations would have done, or
nothing, for the caller undoes the transaction.

Private API, read in Django 5.2.19: every statement of a schema editor goes through its ``execute``, and every
statement of a connection through ``execute_wrappers``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlparse.lexer import tokenize
from sqlparse.tokens import Keyword

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

    def is_answered_by(self, rows: list[tuple[Any, ...]]) -> bool:
        """PostgreSQL reads constraints as they lie in its catalog, which a vacuum makes another in each
        database."""
        if rows == self.answer or self.answer is None:
            return True
        # Rows may hold lists, which have no hash.
        return Counter(map(repr, rows)) == Counter(map(repr, self.answer)) and not asks_for_order(self.sql)

    def as_text(self, cursor: Any) -> str:
        """As psycopg2 would send it, which fills in the parameters itself."""
        if self.params is None:
            return self.sql
        text: bytes = cursor.mogrify(self.sql, self.params)
        return text.decode()


@dataclass
class Script:
    """Filled by ``Recording``."""

    statements: list[Statement] = field(default_factory=list)
    #: For PostgreSQL, which takes many in one message. Put together once, not for each database.
    _parcels: list[Statement] = field(default_factory=list, init=False, repr=False, compare=False)

    def is_one_message(self, connection: Any) -> bool:
        """Whether it is sent as a whole, and so is a transaction by itself."""
        asks = any(statement.answer is not None for statement in self.statements)
        return connection.vendor == "postgresql" and not asks

    def run(self, connection: Any, first: Iterable[Statement] = ()) -> None:
        """In the transaction that is open, with what this database gets before it; one message needs none
        (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT). Raises
        ``Differs``, and the database's errors."""
        with connection.cursor() as cursor:
            for statement in self._to_send(connection, list(first), cursor):
                cursor.execute(statement.sql, statement.params)
                if statement.answer is not None and not statement.is_answered_by(cursor.fetchall()):
                    raise Differs(statement.sql)

    def _to_send(self, connection: Any, first: list[Statement], cursor: Any) -> list[Statement]:
        if connection.vendor != "postgresql":
            return first + self.statements
        if first:
            return list(_in_parcels(first + self.statements, cursor))
        if not self._parcels:
            self._parcels = list(_in_parcels(self.statements, cursor))  # in two threads, twice the same
        return self._parcels


def _in_parcels(statements: Iterable[Statement], cursor: Any) -> Iterator[Statement]:
    """What can be said at once is; SQLite is in the process, and takes one at a time."""
    for is_asked, group in itertools.groupby(statements, lambda statement: statement.answer is not None):
        if is_asked:
            yield from group
        else:
            # On lines of their own, for one may end with a comment.
            yield Statement("\n;\n".join(statement.as_text(cursor) for statement in group))


def asks_for_order(sql: str) -> bool:
    """Of its rows; an order inside of parentheses is an expression's, or lost."""
    if sql.lstrip().startswith("("):
        return True  # for all we know: the parentheses are the whole question's
    depth = 0
    for kind, value in tokenize(sql):  # type: ignore[no-untyped-call]
        depth += {"(": 1, ")": -1}.get(value, 0)
        if depth <= 0 and kind in Keyword and value.upper().startswith("ORDER"):
            return True
    return depth != 0  # not understood, so it may be


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
        elif sql.startswith(_SAVEPOINTS):
            if self._in_editor:
                self.script = None  # it is the migration's own, with who knows what behind it
        else:
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
