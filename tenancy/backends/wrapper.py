"""What our two database backends add to Django's: they know whose connection they are.

A connection refuses to work for anybody but its tenant, not only when a cursor is opened but at every
statement, every fetch and every commit: a cursor that was kept over a change of context is dead.

Private API, read in Django 5.2.19 (``django/db/backends/base/base.py``, ``django/db/backends/utils.py``):
``connect`` opens the physical connection; ``ensure_connection`` is called before every cursor, savepoint
and ``atomic()``; ``validate_no_broken_transaction`` before every statement; ``wrap_database_errors`` turns
the driver's errors into Django's, and as a function wraps every fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from django.db.utils import DatabaseErrorWrapper, Error

from tenancy import stamp
from tenancy.backends.faults import Fault, classify
from tenancy.context import carry, current_frame, current_tenant, in_request
from tenancy.exceptions import (
    DatabaseBusy,
    DatabaseUnavailable,
    NoTenant,
    TenancyError,
    TenantMigrating,
    WrongTenant,
)
from tenancy.planes import CONTROL_ALIAS

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Base
else:
    Base = object


class AliasErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of driver errors, which also notes on the error whose database it was."""

    wrapper: TenancyWrapper

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        # Asked when it is called, not when it is taken: ``fetch = cursor.fetchone`` can be kept as well.
        def fetch(*args: Any, **kwargs: Any) -> Any:
            wrapper = self.wrapper
            if current_frame().tenant_id != wrapper.proven:
                wrapper.require_admission()
            with self:
                return func(*args, **kwargs)

        return fetch

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            return
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except Error as error:
            error.alias = self.wrapper.alias  # type: ignore[attr-defined]
            raise


class GuardedRows:
    """Mixed into Django's cursor wrappers: iterating fetches row by row, past what wraps other fetches."""

    def __iter__(self) -> Iterator[Any]:
        for row in super().__iter__():  # type: ignore[misc]
            self.db.require_admission()  # type: ignore[attr-defined]
            yield row


class GuardedCursor(GuardedRows, CursorWrapper):
    pass


class GuardedDebugCursor(GuardedRows, CursorDebugWrapper):
    pass


class TenancyWrapper(Base):
    """Mixed into Django's ``DatabaseWrapper`` of each engine."""

    Database: Any  # the driver's module, as Django names it

    #: In maintenance (migrations, provisioning) a database may be made and a statement may take its
    #: time. Set by ``tenancy.connections.maintenance`` only.
    maintenance = False

    #: The tenant whose this physical connection has shown itself to be; empty until then. Set to the alias
    #: while it is being set up: Django opens cursors then, which must not shake hands yet. It is compared
    #: with the tenant in context before every statement and every fetch, and in place: a call costs ten times
    #: the comparison.
    proven = ""

    #: What Django takes with DEBUG on; an engine may have one of its own.
    debug_cursor_class: type[Any] = GuardedDebugCursor

    #: Undoing is allowed to everybody, or a refusal on the way out would hide the error it came from and
    #: leave a transaction open behind the caller's back.
    _undoing = False
    #: The savepoint rolled back to by the last statement.
    _empty_savepoint = ""

    @property
    def admitted(self) -> bool:
        return self.proven == self.alias

    @cached_property
    def wrap_database_errors(self) -> AliasErrorWrapper:
        return AliasErrorWrapper(self)

    def connect(self) -> None:
        self.proven = self.alias
        try:
            super().connect()
        except self.Database.Error as exc:
            self._discard()
            if classify(exc) is Fault.BUSY:
                raise DatabaseBusy(self.alias) from exc
            raise DatabaseUnavailable(self.alias) from exc
        except BaseException:
            # Half set up: the next caller must not take it for one that has shaken hands.
            self._discard()
            raise
        self.proven = ""

    def ensure_connection(self) -> None:
        if self.connection is not None and current_frame().tenant_id == self.proven:
            return  # the usual case: nothing to open, and nobody to refuse
        if self._undoing:
            super().ensure_connection()
            return
        self._refuse_strangers()
        super().ensure_connection()
        self._shake_hands_once()

    def require_admission(self) -> None:
        """Raise unless whoever is in context may use this connection, and it is what it should be."""
        if current_frame().tenant_id != self.proven and not self._undoing:
            self._refuse_strangers()
            self._shake_hands_once()

    def validate_no_broken_transaction(self) -> None:
        if current_frame().tenant_id != self.proven:
            self.require_admission()
        if not self._undoing:
            self._empty_savepoint = ""
        if self.needs_rollback:
            super().validate_no_broken_transaction()  # raises; the usual case is spared the call

    def commit(self) -> None:
        """Refused, the transaction is rolled back."""
        try:
            self.require_admission()
        except TenancyError:
            self.rollback()
            raise
        super().commit()

    def on_commit(self, func: Callable[[], object], robust: bool = False) -> None:
        """The callback runs for the tenant it was made under, whoever commits."""
        if callable(func):  # what is not is Django's to refuse
            func = carry(func)
        super().on_commit(func, robust)

    def _savepoint_rollback(self, sid: str) -> None:
        with self._undo():
            super()._savepoint_rollback(sid)  # type: ignore[misc]
            self._empty_savepoint = sid

    def _savepoint_commit(self, sid: str) -> None:
        if sid == self._empty_savepoint:  # ``Atomic`` releases what it has just rolled back to
            with self._undo():
                super()._savepoint_commit(sid)  # type: ignore[misc]
        else:
            super()._savepoint_commit(sid)  # type: ignore[misc]

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """``Atomic`` ends with this, after a commit or a rollback. Who may not commit does not do so
        by it either (SQLite's driver commits when autocommit is switched on)."""
        try:
            self._refuse_strangers()
        except TenancyError:
            if not autocommit:
                raise
            if self.connection is not None:
                self.rollback()
                with self._undo():
                    super().set_autocommit(autocommit, *args, **kwargs)
        else:
            super().set_autocommit(autocommit, *args, **kwargs)

    @contextmanager
    def _undo(self) -> Iterator[None]:
        self._undoing = True
        try:
            yield
        finally:
            self._undoing = False

    def make_cursor(self, cursor: Any) -> Any:
        return GuardedCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> Any:
        return self.debug_cursor_class(cursor, self)

    def _shake_hands_once(self) -> None:
        if not self.admitted and current_tenant() is not None and self.alias != CONTROL_ALIAS:
            self.proven = self.alias
            try:
                stamp.shake_hands(self)
            except Error as exc:
                lacks_tables = classify(exc) is Fault.MIGRATING and not isinstance(exc, TenantMigrating)
                lacks_schema = lacks_tables and not self.in_atomic_block and not stamp.has_schema(self)
                self._discard()
                if lacks_schema:
                    raise DatabaseUnavailable(self.alias, "its schema is not there") from exc
                if lacks_tables:
                    raise TenantMigrating(self.alias, "has no stamp or no migrations yet") from exc
                raise
            except BaseException:
                self._discard()
                raise

    def get_autocommit(self) -> bool:
        # Django asks it of every open connection when a request starts and ends, whoever is in context.
        # It runs no SQL, so there is nothing to refuse.
        return bool(self.autocommit if self.connection is not None else super().get_autocommit())

    def _refuse_strangers(self) -> None:
        """A tenant's connection serves that tenant only. Outside a request and a context an alias that
        is named (``migrate --database acme``) is an explicit choice, and passes."""
        if self.alias == CONTROL_ALIAS:
            return
        tenant = current_tenant()
        if tenant is None:
            if in_request():
                raise NoTenant(f"The database '{self.alias}'")
        elif tenant.id != self.alias:
            raise WrongTenant("The database", self.alias, tenant.id)

    def _discard(self) -> None:
        self.proven = ""
        raw: Any = self.connection
        if raw is not None:
            self.close()
