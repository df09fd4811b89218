"""A tenant: what tenants.yaml says about one."""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from tenancy.exceptions import DatabaseUnavailable, DatabaseURLError

logger = logging.getLogger("tenancy.registry")

#: Contract: an id is also the database alias and the token's ``tenant_id``; it never changes.
TENANT_ID = re.compile(r"[a-z][a-z0-9-]{1,39}")

RESERVED_IDS = frozenset(
    {"default", "control", "postgres", "template0", "template1", "public", "admin", "api", "www"}
)


class Status(enum.StrEnum):
    """Whether a tenant is served: fully, for reading, or not at all."""

    ACTIVE = "active"
    READ_ONLY = "read_only"
    SUSPENDED = "suspended"


class Unresolved(Protocol):
    """A database as it is written, which becomes Django's settings when somebody asks for them."""

    def resolve(self) -> dict[str, Any]:
        """Raises ``DatabaseURLError``."""


V = TypeVar("V", bound=dict[str, Any] | None)


class DatabaseField(Generic[V]):
    """A field of ``Tenant``: Django's settings of one database, worked out when they are first read.

    From then on it is one plain dict, of a ``dataclasses.replace()`` of the tenant too: Django and tests
    change it in place. Raises ``DatabaseUnavailable``, and logs why, where it cannot be worked out.
    """

    def __init__(self, default: V) -> None:
        self._default = default

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._slot = f"_{name}"
        self._resolved = f"_{name}_resolved"

    @overload
    def __get__(self, tenant: None, owner: type[Any]) -> DatabaseField[V]: ...

    @overload
    def __get__(self, tenant: Tenant, owner: type[Any]) -> V: ...

    def __get__(self, tenant: Tenant | None, owner: type[Any]) -> DatabaseField[V] | V:
        if tenant is None:
            return self
        value = tenant.__dict__.get(self._resolved)
        if value is None:
            value = tenant.__dict__[self._slot]
            if value is not None and not isinstance(value, dict):
                # Of two threads that ask at once the first decides: what one changes in it the other has to
                # see. Not by a lock, which a process forked meanwhile would inherit for ever.
                value = tenant.__dict__.setdefault(self._resolved, _resolve(tenant.id, value))
        return cast(V, value)

    def __set__(self, tenant: Tenant, value: Mapping[str, Any] | Unresolved | None) -> None:
        # Only the dataclass's own __init__ comes here; for everybody else the class is frozen.
        if value is cast(object, self):  # the field was left out
            value = None if self._default is None else {}
        elif isinstance(value, Mapping) and not isinstance(value, dict):
            value = dict(value)
        tenant.__dict__[self._slot] = value


def _resolve(tenant_id: str, written: Unresolved) -> dict[str, Any]:
    try:
        return written.resolve()
    except DatabaseURLError as exc:
        unavailable = DatabaseUnavailable(tenant_id, f"its URL cannot be used any more: {exc}")
        logger.warning("%s", unavailable)
        raise unavailable from exc


@dataclass(frozen=True)
class Tenant:
    """One entry of tenants.yaml. Its databases hold secrets, so they never show in ``repr()``."""

    id: str
    name: str
    status: Status = Status.ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    hosts: tuple[str, ...] = ()
    #: Django's settings for the alias ``id``; ``direct`` goes past a pooler, ``replica`` is for reports.
    database: DatabaseField[dict[str, Any]] = field(default=DatabaseField({}), repr=False, compare=False)
    direct: DatabaseField[dict[str, Any] | None] = field(
        default=DatabaseField(None), repr=False, compare=False
    )
    replica: DatabaseField[dict[str, Any] | None] = field(
        default=DatabaseField(None), repr=False, compare=False
    )

    @property
    def engine(self) -> str:
        """``sqlite3`` or ``postgresql``."""
        return str(self.database.get("ENGINE", "")).rpartition(".")[2]
