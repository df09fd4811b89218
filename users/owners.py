"""The first member of a new tenant."""

from __future__ import annotations

from typing import Any

from tenancy.audit.trail import operator
from tenancy.tenant import Tenant
from tenancy.transactions import control_atomic
from users.members import grant
from users.models import Role, User


def make_owner(sender: Any, *, tenant: Tenant, owner: str, **kwargs: Any) -> str:
    """Make somebody the owner of a tenant, and a user if they are none yet: without a password, which they
    are given later. Safe to run twice. Raises ``ValidationError`` for an address that is none.

    A receiver of ``tenancy.provisioning.tenant_created``.
    """
    with control_atomic():
        try:
            user, is_new = User.objects.get_by_natural_key(owner), False
        except User.DoesNotExist:
            user, is_new = User.objects.create_user(owner), True
        grant(tenant.id, user, Role.OWNER, who=operator())
    first = ", and has no password yet: the first comes by mail, to who asks for a reset" if is_new else ""
    return f"{user.email} is its owner{first}"
