"""Who belongs to a tenant, and how that is changed by those who may.

An owner may do everything. An admin looks after everybody but owners, and makes nobody one. A tenant always
has an owner who can sign in: the last one can neither be removed nor lowered, not by two at once either.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db.models import Q, QuerySet

from tenancy.audit.trail import Who, record
from tenancy.registry import get_registry
from tenancy.transactions import control_atomic
from users.errors import LastOwner, RoleForbids
from users.models import Invitation, Membership, Role, User


class NoSuchMember(LookupError):
    """Nobody of this id belongs to the tenant."""


def members_of(tenant_id: str) -> QuerySet[Membership]:
    """The members with their users, by address."""
    found = Membership.objects.filter(tenant_id=tenant_id).select_related("user")
    return found.order_by("user__email_canonical", "pk")


def check_may_grant(granter: Role, role: Role) -> None:
    """Raises ``RoleForbids``."""
    if granter is not Role.OWNER and (granter is not Role.ADMIN or role is Role.OWNER):
        raise RoleForbids("Only an owner makes an owner.")


def change_role(
    tenant_id: str, user_id: uuid.UUID, role: Role, *, by: Role, who: Who, keeps_owner: bool = True
) -> Membership:
    """Give a member another role, from their next request on.

    Raises ``NoSuchMember``, ``RoleForbids`` and ``LastOwner``.
    """
    with control_atomic():
        member, other_owners = _locked(tenant_id, user_id)
        _check_may_manage(by, member)
        check_may_grant(by, role)
        before = Role(member.role)
        if keeps_owner and before is Role.OWNER and role is not Role.OWNER and not other_owners:
            raise LastOwner
        if role is not before:
            member.role = role
            member.save(update_fields=["role"])
            details = {"from": before.value, "to": role.value}
            record("member.role_changed", who, tenant_id=tenant_id, target=member.user.email, details=details)
    return member


def grant(tenant_id: str, user: User, role: Role, *, who: Who, keeps_owner: bool = True) -> None:
    """What an operator does: make somebody a member, or give them another role. Raises ``LastOwner``."""
    with control_atomic():
        member, joined = Membership.objects.get_or_create(
            user=user, tenant_id=tenant_id, defaults={"role": role}
        )
        if joined:
            details = {"role": role.value}
            record("member.added", who, tenant_id=tenant_id, target=user.email, details=details)
        else:
            change_role(tenant_id, member.user_id, role, by=Role.OWNER, who=who, keeps_owner=keeps_owner)


def remove(tenant_id: str, user_id: uuid.UUID, *, by: Role, who: Who, keeps_owner: bool = True) -> None:
    """Take a member out of a tenant: their tokens for it are refused from the next request on.

    Raises ``NoSuchMember``, ``RoleForbids`` and ``LastOwner``.
    """
    with control_atomic():
        member, other_owners = _locked(tenant_id, user_id)
        _check_may_manage(by, member)
        if keeps_owner and member.role == Role.OWNER and not other_owners:
            raise LastOwner
        member.delete()
        # Links by which they could come back, or let others in.
        theirs = Q(invited_by=user_id) | Q(email_canonical=member.user.email_canonical)
        Invitation.objects.filter(theirs, tenant_id=tenant_id).delete()
        record("member.removed", who, tenant_id=tenant_id, target=member.user.email)


def last_owners(memberships: Iterable[Membership]) -> list[Membership]:
    """Those without which, and without the others of ``memberships``, a tenant has no owner who can sign in.
    Of a tenant that is gone none is. Locks nothing: for the admin, which asks before a form is saved."""
    owners = [one for one in memberships if one.role == Role.OWNER and one.tenant_id in get_registry()]
    others = Membership.objects.filter(role=Role.OWNER, user__is_active=True)
    others = others.filter(tenant_id__in={one.tenant_id for one in owners})
    kept = set(others.exclude(pk__in=[one.pk for one in owners]).values_list("tenant_id", flat=True))
    return [one for one in owners if one.tenant_id not in kept]


def _locked(tenant_id: str, user_id: uuid.UUID) -> tuple[Membership, list[Membership]]:
    """A membership and those of the other owners who can sign in, locked: whoever else would take an owner
    away waits, and then counts anew. In one order, so that no two wait for each other."""
    concerned = Q(role=Role.OWNER) | Q(user_id=user_id)
    rows = (
        Membership.objects.filter(concerned, tenant_id=tenant_id)
        .select_related("user")
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    member: Membership | None = None
    owners = []
    for row in rows:
        if row.user_id == user_id:
            member = row
        elif row.role == Role.OWNER and row.user.is_active:
            owners.append(row)
    if member is None:
        raise NoSuchMember
    return member, owners


def _check_may_manage(by: Role, member: Membership) -> None:
    if by is not Role.OWNER and member.role == Role.OWNER:
        raise RoleForbids("Only an owner changes an owner.")
