"""The cursors of our two database backends, and how errors of theirs are translated.

Every fetch and every row of an iteration asks whether its connection still works for whoever is in context.

Private API, read in Django 5.2.19 (``django/db/backends/utils.py``, ``django/db/utils.py``): the cursor
wrappers' ``__init__``, ``__iter__`` and ``close``; ``DatabaseErrorWrapper`` as a block around every call of
the driver, and as a function around every fetch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from django.db.utils import DatabaseErrorWrapper, Error

from tenancy.context import current_frame
from tenancy.exceptions import ScopeEnded
from tenancy.pool import pool

if TYPE_CHECKING:
    from tenancy.backends.wrapper import TenancyWrapper


# How statements begin that leave nothing behind in a session when their transaction is over.
_HARMLESS = (
    *("select", "insert", "update", "delete", "(", "with", "values", "savepoint", "release", "rollback"),
    *("begin", "set local", "set constraints", "lock", "show"),
)


#: Characters of a statement that is remembered: those of ``bulk_create()`` are long, and each is another.
_SHORT = 4000


def _may_change_session(sql: object) -> bool:
    """Whether something of a statement may be left for the next one who gets the connection. The words may
    stand in a text, too: then a connection is closed that could have been kept."""
    if type(sql) is not str:
        return True  # a driver's own kind of statement
    return _remembered(sql) if len(sql) <= _SHORT else _look_at(sql)


def _look_at(sql: str) -> bool:
    text = sql.lstrip().lower()
    return (
        not text.startswith(_HARMLESS)
        or ";" in text
        or "set_config" in text
        or "advisory" in text
        or "pg_settings" in text
        or "u&" in text  # letters in disguise
        or ("into" in text and not text.startswith("insert"))  # a temporary table, made by a SELECT
    )


# The ORM asks the same few statements with other parameters all the time.
_remembered = functools.lru_cache(maxsize=1024)(_look_at)


class AliasErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of driver errors, which also notes on the error whose database it was."""

    wrapper: TenancyWrapper

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        # Asked when it is called, not when it is taken: ``fetch = cursor.fetchone`` can be kept as well.
        def fetch(*args: Any, **kwargs: Any) -> Any:
            wrapper = self.wrapper
            if current_frame().tenant_id != wrapper.proven:
                wrapper.require_admission()
            return self.run(func, *args, **kwargs)

        return fetch

    def run(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the driver. The same as in a ``with`` block of this, which costs a call of Python's more."""
        wrapper = self.wrapper
        wrapper.call_started = monotonic()
        try:
            found = func(*args, **kwargs)
        except BaseException as exc:
            self.__exit__(type(exc), exc, exc.__traceback__)
            raise
        wrapper.call_started = 0.0
        return found

    def __enter__(self) -> None:
        self.wrapper.call_started = monotonic()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.wrapper.call_started = 0.0
        if exc_type is None:
            return
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except Error as error:
            error.alias = self.wrapper.alias  # type: ignore[attr-defined]
            raise


class GuardedRows:
    """Mixed into Django's cursor wrappers. Iterating fetches row by row, past what wraps other fetches; and a
    connection on which a cursor is alive is not given to anybody else."""

    db: TenancyWrapper
    cursor: Any
    _alive = False

    def __init__(self, cursor: Any, db: Any) -> None:
        self.cursor, self.db = cursor, db  # as Django does, without the call
        # First counted, then asked: the thread that ends the scope does it the other way round, so that one
        # of the two sees the other.
        db.cursors += 1
        self._alive = True
        if db.orphaned and not db.in_atomic_block:
            raise ScopeEnded(db.alias)

    def __getattr__(self, name: str) -> Any:
        if name in CursorWrapper.WRAP_ERROR_ATTRS:
            # As Django does. It asks when it is called; and who keeps the method keeps the cursor alive.
            fetch: Any = self.db.wrap_database_errors(getattr(self.cursor, name))
            fetch.cursor = self
            return fetch
        value = super().__getattr__(name)  # type: ignore[misc]
        if not callable(value):
            return value

        # A driver has more ways to work than Django knows: ``copy_expert``, ``executescript``.
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self.db.require_admission()
            self.db.session_changed = True  # for all we know
            return value(*args, **kwargs)

        return guarded

    def __iter__(self) -> Iterator[Any]:
        rows, errors = iter(self.cursor), self.db.wrap_database_errors
        while True:
            self.db.require_admission()
            # One call of the driver for each row: what the caller does with it takes its own time.
            with errors:
                try:
                    row = next(rows)
                except StopIteration:
                    return
            yield row

    def _execute(self, sql: Any, params: Any, *context: Any) -> Any:
        db = self.db
        if not db.session_changed and _may_change_session(sql):
            db.session_changed = True
        if not apps.ready:
            return super()._execute(sql, params, *context)  # type: ignore[misc]  # which warns
        # The rest is Django's, written out: this runs for every statement, and a call costs as much.
        db.validate_no_broken_transaction()
        execute = self.cursor.execute
        errors = db.wrap_database_errors
        return errors.run(execute, sql) if params is None else errors.run(execute, sql, params)

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        self.db.session_changed = True  # for all we know
        return super().callproc(*args, **kwargs)  # type: ignore[misc]

    def _executemany(self, sql: Any, param_list: Any, *context: Any) -> Any:
        if _may_change_session(sql):
            self.db.session_changed = True
        return super()._executemany(sql, param_list, *context)  # type: ignore[misc]

    def close(self) -> None:
        try:
            self.cursor.close()
        except self.db.Database.Error:
            if self.db.connection is not None:
                raise
            # Its connection went before it: there is nothing left to close.
        finally:
            if self._end():
                self.db.close_when_done()

    def __del__(self) -> None:
        if self._alive and self._end():
            # The collector may run where this thread holds the pool's lock: somebody else closes it, soon.
            pool.later(self.db.close_when_done)

    def _end(self) -> bool:
        """Count it no more. Returns whether its connection has to be closed, which its scope left to it."""
        if not self._alive:
            return False
        self._alive = False
        self.db.cursors -= 1
        return self.db.orphaned


class GuardedCursor(GuardedRows, CursorWrapper):
    pass


class GuardedDebugCursor(GuardedRows, CursorDebugWrapper):
    pass
