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
    """Whoever asks: a person who is signed in, or a key."""
    access, origin = request.auth, Origin.of(request)
    if access.key is None:
        return person(request.user, origin, str(access.session_id))
    key = access.key
    return Who(Actor.KEY, str(key.pk), f"{key.name} ({key.prefix})", origin.address, str(key.pk))
