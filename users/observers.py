"""What is recorded of sign-ins that nobody but Django sees: those that fail, and those to the admin."""

from __future__ import annotations

from typing import Any

from tenancy.audit.models import Actor, Outcome, Severity
from tenancy.audit.trail import Who, record
from users.models import User
from users.origin import Origin
from users.people import person


def note_failed_sign_in(sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
    """A receiver of Django's ``user_login_failed``. Somebody's account is named by its id. What was typed is
    not kept: it may be a password. The same is done whoever it was, in about the same time."""
    origin = Origin.of(request)
    try:
        user = User.objects.get_by_natural_key(credentials.get("username"))
    except User.DoesNotExist:
        who = Who(Actor.UNKNOWN, address=origin.address)
    else:
        who = person(user, origin)
    record("sign_in", who, tenant_id="", outcome=Outcome.REFUSED, severity=Severity.WARNING)


def note_admin_sign_in(sender: Any, user: Any, request: Any = None, **kwargs: Any) -> None:
    """A receiver of Django's ``user_logged_in``, which the admin sends; the API records its own."""
    record("sign_in", person(user, Origin.of(request)), tenant_id="", target="admin")
