"""What our two database backends add to Django's: they know whose connection they are.

Private API, read in Django 5.2.19 (``django/db/backends/base/base.py``): ``connect`` opens the physical
connection; ``ensure_connection`` is called before every cursor, savepoint and ``atomic()``;
``wrap_database_errors`` turns the driver's errors into Django's.
"""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from django.db.utils import DatabaseErrorWrapper, Error

from tenancy import stamp
from tenancy.backends.faults import Fault, classify
from tenancy.context import current_tenant, in_request
from tenancy.exceptions import DatabaseBusy, DatabaseUnavailable, NoTenant, TenantMigrating, WrongTenant
from tenancy.planes import CONTROL_ALIAS

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Base
else:
    Base = object


class AliasErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of driver errors, which also notes on the error whose database it was."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except Error as error:
            error.alias = self.wrapper.alias  # type: ignore[attr-defined]
            raise


class TenancyWrapper(Base):
    """Mixed into Django's ``DatabaseWrapper`` of each engine."""

    Database: Any  # the driver's module, as Django names it

    #: In maintenance (migrations, provisioning) a database may be made and a statement may take its
    #: time. Set by ``tenancy.connections.maintenance`` only.
    maintenance = False

    #: Whether this physical connection has shown that it is this tenant's. True while it is being set
    #: up: Django opens cursors then, which must not shake hands yet.
    admitted = False

    @cached_property
    def wrap_database_errors(self) -> AliasErrorWrapper:
        return AliasErrorWrapper(self)

    def connect(self) -> None:
        self.admitted = True
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
        self.admitted = False

    def ensure_connection(self) -> None:
        self._refuse_strangers()
        super().ensure_connection()
        if not self.admitted and current_tenant() is not None and self.alias != CONTROL_ALIAS:
            self.admitted = True
            try:
                stamp.shake_hands(self)
            except Error as exc:
                self._discard()
                if classify(exc) is Fault.MIGRATING and not isinstance(exc, TenantMigrating):
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
        self.admitted = False
        raw: Any = self.connection
        if raw is not None:
            self.close()
