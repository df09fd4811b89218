"""Every way tenancy can refuse, each with the value at fault and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError


class TenancyError(Exception):
    """Base of all errors raised by ``tenancy``."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it goes to another process with its words and facts: a task queue's, a test runner's."""
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[TenancyError], args: tuple[Any, ...], facts: dict[str, Any]) -> TenancyError:
    """Not by its ``__init__``, which takes other things than its words."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class NoTenant(TenancyError):
    """A tenant was needed and none is in context."""

    def __init__(self, what: str = "This operation") -> None:
        super().__init__(
            f"{what} needs a tenant and none is in context. Wrap it in `with tenant_context(tenant_id):`; a "
            "thread or a callback takes the tenant along with carry(), until its request ends."
        )


class WrongTenant(TenancyError):
    """One tenant's data was touched while another tenant is in context."""

    def __init__(self, what: str, belongs_to: str, current: str) -> None:
        self.belongs_to = belongs_to
        self.current = current
        super().__init__(
            f"{what} belongs to tenant '{belongs_to}', but the tenant in context is "
            f"'{current}'. Work on it inside `with tenant_context('{belongs_to}'):`; in a request, which is "
            "bound to one tenant, do not keep it from another."
        )


class NoPlane(TenancyError):
    """A model of an app that neither plane claims."""

    def __init__(self, model: str, app_label: str) -> None:
        super().__init__(
            f"'{model}' lives nowhere: name its app '{app_label}' in TENANT_APPS or in CONTROL_APPS."
        )


class TenantLocked(TenancyError):
    """Code inside a request tried to enter a tenant other than the request's."""

    def __init__(self, wanted: str, current: str | None) -> None:
        self.wanted = wanted
        self.current = current
        super().__init__(
            f"A request is bound to one tenant ('{current or 'none'}'), so '{wanted}' cannot be "
            "entered inside it. Do that work in a command or a job."
        )


class TenantNotServed(TenancyError):
    """A request was to be bound to a tenant that is suspended."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        super().__init__(
            f"Tenant '{tenant_id}' is suspended, so no request enters it. To serve it again, change its "
            "`status` in tenants.yaml."
        )


class NoRequestScope(TenancyError):
    """Authentication found no open scope to put the tenant in."""

    def __init__(self) -> None:
        super().__init__(
            "No request scope is open. Put 'tenancy.middleware.TenantScopeMiddleware' first in MIDDLEWARE."
        )


class NoDefaultDatabase(TenancyError, ImproperlyConfigured):
    """Something used the alias "default": a short form of Django's, or a command without ``--database``."""

    def __init__(self) -> None:
        super().__init__(
            "There is no default database. In code use tenant_atomic(), tenant_on_commit(), control_atomic() "
            "or control_on_commit() of tenancy.transactions, and connections[alias] for a connection."
        )


class TransactionLeftOpen(TenancyError):
    """A scope ended inside a transaction that began in it."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"A transaction on '{alias}' was open when the block or request in which it began ended, and was "
            "rolled back. Begin and end it inside, with `with`."
        )


class OpenedToWrite(TenancyError):
    """A read-only tenant's context was entered inside a transaction that may write."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"The transaction on '{alias}' began outside of its tenant's context, where it may write, and "
            "the tenant is read-only. Begin it inside, with tenant_atomic()."
        )


class ReadingInTransaction(TenancyError):
    """A connection that only reads was asked for where one is in the middle of something."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"What only reads needs a connection of its own, and the one to '{alias}' is in a transaction "
            "or in maintenance. Do it before, or after."
        )


class ScopeEnded(TenancyError):
    """A connection was used after the scope that it belonged to."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"This connection to '{alias}' was given back when the block or request that opened it ended. "
            "Ask `django.db.connections` for one where you use it."
        )


class TenantNotFound(TenancyError, LookupError):
    """The id is not in tenants.yaml."""

    def __init__(self, tenant_id: str, known: Collection[str] = ()) -> None:
        self.tenant_id = tenant_id
        self.known = known
        super().__init__(tenant_id)

    def __str__(self) -> str:
        # The guess looks at every tenant there is: made for people who read it, not on every request of
        # a token whose tenant is gone.
        close = difflib.get_close_matches(self.tenant_id, self.known, n=1)
        guess = f" (did you mean '{close[0]}'?)" if close else ""
        return (
            f"Unknown tenant '{self.tenant_id}'{guess}. Add it to tenants.yaml, then run "
            f"`manage.py migrate --database {self.tenant_id}`."
        )


class RegistryUnavailable(TenancyError):
    """No valid tenants.yaml was ever read, so no tenant can be served."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a tenants.yaml: where it is and what to do about it."""

    line: int
    path: str
    text: str

    def describe(self, file: str) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{file}:{self.line}: {where}{self.text}"


class TenantsFileError(TenancyError, ValueError):
    """tenants.yaml was refused; ``str()`` gives one line per problem, never a secret."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.describe(file) for problem in self.problems))


class DatabaseURLError(TenancyError, ValueError):
    """A database URL was refused. The message never repeats the URL."""


class DatabaseFault(TenancyError, OperationalError):
    """A database cannot be used now. It is also Django's ``OperationalError``."""

    def __init__(self, alias: str, message: str) -> None:
        self.alias = alias
        super().__init__(message)


class DatabaseUnavailable(DatabaseFault):
    """The database of ``alias`` is missing, down, or does not let us in."""

    def __init__(self, alias: str, reason: str = "it cannot be reached") -> None:
        super().__init__(alias, f"The database of '{alias}' is unavailable: {reason}.")


class DatabaseBusy(DatabaseFault):
    """The database of ``alias`` did not answer in time, or has no connection free."""

    def __init__(self, alias: str, reason: str = "it has no connection free") -> None:
        super().__init__(alias, f"The database of '{alias}' is busy: {reason}.")


class TenantMigrating(DatabaseFault):
    """The tenant's database has no stamp yet, or its schema is behind the code."""

    def __init__(self, alias: str, reason: str) -> None:
        super().__init__(
            alias,
            f"The database of tenant '{alias}' {reason}. Run `manage.py migrate --database {alias}`.",
        )


class StampMismatch(DatabaseUnavailable):
    """The database is stamped with another owner: two entries swapped, or a wrong restore."""

    def __init__(self, alias: str) -> None:
        super().__init__(
            alias,
            "its stamp names another owner. Check the entry's URL in tenants.yaml; a stamp is never changed",
        )


class SchemaMissing(TenancyError):
    """The entry names a schema that its database does not have."""

    def __init__(self, alias: str, schema: str) -> None:
        self.alias = alias
        self.schema = schema
        super().__init__(
            f"The database of '{alias}' has no schema '{schema}'. Run `CREATE SCHEMA {schema}` in it, as a "
            "role that may."
        )


class UnstampedDatabase(TenancyError):
    """A database with tables but no stamp is not ours to migrate."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"The database of tenant '{alias}' has tables but no stamp, so nothing was changed. Check "
            "its URL in tenants.yaml; if the database really is this tenant's, run "
            f"`manage.py tenants provision {alias} --adopt`."
        )


class ForeignTables(TenancyError):
    """A database holds tables that no tenant app made, so it is not adopted."""

    def __init__(self, alias: str, tables: list[str]) -> None:
        self.alias = alias
        self.tables = tables
        more = f" and {len(tables) - 3} more" if len(tables) > 3 else ""
        super().__init__(
            f"The database of tenant '{alias}' holds tables of nobody's: {', '.join(tables[:3])}{more}. "
            "Check its URL in tenants.yaml, or move them away."
        )


class NotHardened(TenancyError):
    """A tenant's PostgreSQL role cannot be set up as its entry and its server stand."""

    def __init__(self, alias: str, reason: str) -> None:
        self.alias = alias
        self.reason = reason
        super().__init__(f"Nothing was changed for tenant '{alias}': {reason}.")
