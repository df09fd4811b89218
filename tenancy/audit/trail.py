"""Adding to the audit trail."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from django.db import Error

from tenancy.account import account_name
from tenancy.audit.models import Actor, Event, Outcome, Severity
from tenancy.context import current_request_id, current_tenant_id
from tenancy.rows import add_rows
from tenancy.transactions import control_atomic

logger = logging.getLogger("tenancy.audit")

#: Everything that is recorded. A word that is not here is a mistake of ours, and raises.
ACTIONS = frozenset(
    {
        "sign_in",
        "sign_out",
        "sign_in.braked",
        "access.refused",
        "token.reused",
        "tenant.switched",
        "session.revoked",
        "password.changed",
        "password.reset_asked",
        "password.reset",
        "member.added",
        "member.role_changed",
        "member.removed",
        "invitation.sent",
        "invitation.revoked",
        "invitation.accepted",
        "key.created",
        "key.revoked",
        "signing_key.created",
        "signing_key.retired",
        "report.run",
        "tenant.provisioned",
        "tenant.migrated",
        "registry.changed",
        "admin.added",
        "admin.changed",
        "admin.deleted",
        "isolation.breached",
    }
)

#: Characters that are kept of what may be longer, as the columns have it.
_LENGTH = 300


@dataclass(frozen=True)
class Who:
    """Somebody who does something, and where from. ``token_id`` is the session's or the key's id."""

    kind: str = Actor.UNKNOWN
    id: str = ""
    name: str = ""
    address: str | None = None
    token_id: str = ""


SERVICE = Who(Actor.SERVICE)


def operator() -> Who:
    """Whoever runs this command."""
    name = account_name()
    return Who(Actor.OPERATOR, f"{name}@{socket.gethostname()}", name)


class Facts(TypedDict, total=False):
    """What an event says besides who did what. ``tenant_id`` is by default the tenant in context."""

    tenant_id: str
    target: str
    outcome: str
    severity: str
    details: Mapping[str, Any]


def record(
    action: str,
    who: Who,
    *,
    id: uuid.UUID | None = None,  # noqa: A002
    **facts: Unpack[Facts],
) -> None:
    """Add an event. In a transaction on the control plane it stays if, and only if, what it tells of does.

    Each is a row of its own, which waits for no other. Two of one ``id`` are one. Raises what the database
    raises: what cannot be recorded is not done.
    """
    event = Event(**_row(action, who, **facts))
    if id is not None:
        event.id = id
    Event.objects.bulk_create([event], ignore_conflicts=id is not None)


def _row(
    action: str,
    who: Who,
    *,
    tenant_id: str | None = None,
    target: str = "",
    outcome: str = Outcome.OK,
    severity: str = Severity.INFO,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    if action not in ACTIONS:
        raise ValueError(
            f"'{action}' is no action of the audit trail; add it to tenancy.audit.trail.ACTIONS."
        )
    return {
        "action": action,
        "tenant_id": (current_tenant_id() or "") if tenant_id is None else tenant_id,
        "outcome": outcome,
        "severity": severity,
        "actor_kind": who.kind,
        "actor_id": who.id[:_LENGTH],
        "actor": who.name[:_LENGTH],
        "target": target[:_LENGTH],
        "address": who.address or None,
        "request_id": current_request_id(),
        "token_id": who.token_id,
        "details": dict(details or {}),
    }


def try_to_record(action: str, who: Who, **facts: Any) -> None:
    """``record()`` for what has happened anyway, as a registry that changed: where it cannot be written, the
    log has it."""
    try:
        with control_atomic():  # a savepoint where somebody has a transaction open, which must go on
            record(action, who, **facts)
    except Error as exc:
        _regret(action, exc)


def try_to_record_each(action: str, who: Who, facts: Iterable[Facts]) -> None:
    """The same for what was done to many tenants, in few statements."""
    try:
        add_rows(Event, [_row(action, who, **each) for each in facts])
    except Error as exc:
        _regret(action, exc)


def _regret(action: str, exc: Error) -> None:
    logger.error("%s could not be recorded in the audit trail: %s", action, exc)
