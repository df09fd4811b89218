"""What members and keys were refused for their role, in the audit trail of their tenant."""

from __future__ import annotations

import time
import uuid
from typing import Any

from rest_framework.request import Request

from tenancy.audit.models import Outcome
from tenancy.audit.trail import try_to_record
from users.people import caller

#: Seconds in which somebody's calls of one operation are recorded once: whoever may do little could fill the
#: trail otherwise.
ONCE_IN = 60
#: How many of them a process remembers, so that it need not ask.
_MOST = 10_000

_noted: set[uuid.UUID] = set()


def note(request: Request, view: Any) -> None:
    """Record that whoever asks may not do this. Where that cannot be written the log has it: the answer is a
    refusal all the same.

    Not for a method that the view does not have: there are as many as somebody makes up.
    """
    if request.method not in view.allowed_methods:
        return
    who, tenant_id = caller(request), request.auth.tenant.id  # type: ignore[union-attr]
    match = request.resolver_match
    once = (who.kind, who.id, tenant_id, request.method, match.view_name if match else "")
    event_id = uuid.uuid5(uuid.NAMESPACE_OID, " ".join([*once, str(int(time.time() // ONCE_IN))]))
    if event_id in _noted:
        return
    if len(_noted) >= _MOST:
        _noted.clear()
    _noted.add(event_id)
    try_to_record(
        "access.refused",
        who,
        id=event_id,  # another process may have
        tenant_id=tenant_id,
        target=f"{request.method} {_path(request)}",
        outcome=Outcome.REFUSED,
        details={"role": str(request.auth.role)},  # type: ignore[union-attr]
    )


def _path(request: Request) -> str:
    """As it was asked for, but for what stands in an id's place and is none: that may be anything, and the
    trail keeps it."""
    path, match = request.path, request.resolver_match
    for name, value in match.kwargs.items() if match else ():
        try:
            uuid.UUID(str(value))
        except ValueError:
            path = path.replace(str(value), f"({name})")
    return path
