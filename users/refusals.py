"""What members and keys were refused for their role, in the audit trail of their tenant."""

from __future__ import annotations

import time
import uuid

from django.utils.encoding import escape_uri_path
from rest_framework.request import Request

from tenancy.audit.models import Outcome
from tenancy.audit.trail import try_to_record
from users.people import caller

#: Seconds in which one call of one session's, or key's, is recorded once, however often it is tried: whoever
#: may do little could fill the trail otherwise.
ONCE_IN = 60


def note(request: Request) -> None:
    """Record that whoever asks may not do this. Where that cannot be written the log has it: the answer is a
    refusal all the same."""
    who = caller(request)
    match = request.resolver_match  # of the operation, whatever ids are in its path
    period = int(time.time() // ONCE_IN)
    once = f"{who.token_id} {request.method} {match.view_name if match else ''} {period}"
    try_to_record(
        "access.refused",
        who,
        id=uuid.uuid5(uuid.NAMESPACE_OID, once),
        tenant_id=request.auth.tenant.id,  # type: ignore[union-attr]
        target=f"{request.method} {escape_uri_path(request.path)}",
        outcome=Outcome.REFUSED,
        details={"role": str(request.auth.role)},  # type: ignore[union-attr]
    )
