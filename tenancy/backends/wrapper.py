"""What our two database backends add to Django's: they know whose connection they are.

A connection refuses to work for anybody but its tenant, not only when a cursor is opened but at every
statement, every fetch and every commit: a cursor that was kept over a change of context is dead.

Private API, read in Django 5.2.19 (``django/db/backends/base/base.py``): ``ensure_connection`` is called
before every cursor, savepoint and ``atomic()``; ``validate_no_broken_transaction`` before every statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from django.db.utils import Error

from tenancy import stamp
from tenancy.backends.cursors import AliasErrorWrapper, GuardedCursor, GuardedDebugCursor
from tenancy.backends.faults import Fault, classify
from tenancy.backends.pooled import PooledWrapper
from tenancy.context import carry, current_frame, current_tenant, in_request
from tenancy.exceptions import (
    DatabaseUnavailable,
    NoTenant,
    OpenedToWrite,
    StampMismatch,
    TenancyError,
    TenantMigrating,
    WrongTenant,
)
from tenancy.planes import CONTROL_ALIAS
from tenancy.pool import pool


class TenancyWrapper(PooledWrapper):
    """Mixed into Django's ``DatabaseWrapper`` of each engine."""

    #: The tenant whose this physical connection has shown itself to be; empty until then. Set to the alias
    #: while it is being set up: Django opens cursors then, which must not shake hands yet. It is compared
    #: with the tenant in context before every statement and every fetch, and in place: a call costs ten times
    #: the comparison.
    proven = ""

    #: What Django takes with DEBUG on; an engine may have one of its own.
    debug_cursor_class: type[Any] = GuardedDebugCursor

    #: Seconds that the question whose database it is may take: it is a part of connecting.
    handshake_limit = float("inf")

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
        if self.orphaned:
            self.close_when_done()

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
        if self.admitted or self.alias == CONTROL_ALIAS:
            return
        if current_tenant() is None or self.maintenance:
            self._ask_for_the_owner_once()
            return
        if self.read_only is not self.must_be_read_only():
            # It was opened outside of the context.
            if self.in_atomic_block:
                raise OpenedToWrite(self.alias)
            self.close()
            self.connect()
        self.proven = self.alias
        limit, self.call_limit = self.call_limit, self.handshake_limit
        try:
            stamp.shake_hands(self)
        except Error as exc:
            if classify(exc) is Fault.UNAVAILABLE and not isinstance(exc, DatabaseUnavailable):
                pool.distrust(self.alias)
            lacks_tables = classify(exc) is Fault.MIGRATING and not isinstance(exc, TenantMigrating)
            lacks_schema = lacks_tables and not self.in_atomic_block and not stamp.has_schema(self)
            self.discard()
            if lacks_schema:
                raise DatabaseUnavailable(self.alias, "its schema is not there") from exc
            if lacks_tables:
                raise TenantMigrating(self.alias, "has no stamp or no migrations yet") from exc
            raise
        except BaseException:
            self.discard()
            raise
        finally:
            self.call_limit = limit

    def _ask_for_the_owner_once(self) -> None:
        """Outside of a context an alias that is named works whatever the state of its database: commands look
        at what is not ready, and mend it. Somebody else's is refused here too; in maintenance, also in its
        tenant's context, those ask who migrate and provision."""
        if self.witnessed or self.maintenance or self.connection is None:
            return
        self.witnessed = True
        try:
            owner = stamp.read(self)
        except Error:
            return  # it cannot be read, so nor can the rows beside it
        if owner is not None and owner != self.alias:
            self.discard()
            raise StampMismatch(self.alias)

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
