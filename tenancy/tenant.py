"""A tenant: what tenants.yaml says about one."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Tenant:
    """One entry of tenants.yaml. Its databases hold secrets, so they never show in ``repr()``."""

    id: str
    name: str
    status: Status = Status.ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    hosts: tuple[str, ...] = ()
    #: Django's settings for the alias ``id``; ``direct`` goes past a pooler, ``replica`` is for reports.
    database: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    direct: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    replica: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def engine(self) -> str:
        """``sqlite3`` or ``postgresql``."""
        return str(self.database.get("ENGINE", "")).rpartition(".")[2]
