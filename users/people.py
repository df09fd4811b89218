"""People, as the audit trail names them."""

from __future__ import annotations

from rest_framework.request import Request

from tenancy.audit.models import Actor
from tenancy.audit.trail import Who
from users.models import User
from users.origin import NOWHERE, Origin


def person(user: User, origin: Origin = NOWHERE, token_id: str = "") -> Who:
    return Who(Actor.PERSON, str(user.pk), user.email, origin.address, token_id)


def caller(request: Request) -> Who:
    """Whoever is signed in with the request's token."""
    return person(request.user, Origin.of(request), str(request.auth.claims.family_id))
