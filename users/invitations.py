"""Inviting people to a tenant by mail: a link that is good once, for a week."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from tenancy.audit.trail import Who, record
from tenancy.exceptions import TenantNotFound
from tenancy.registry import get_registry
from tenancy.rest.errors import Conflict
from tenancy.tenant import Tenant
from tenancy.transactions import control_atomic
from users import mails
from users.email import canonical_email
from users.errors import LinkNotValid, PasswordRequired, RoleForbids
from users.families import end_families
from users.members import check_may_grant
from users.models import Invitation, Membership, Role, TokenFamily, User
from users.origin import Origin
from users.passwords import check_password_rules
from users.people import person


def invite(tenant_id: str, email: str, role: Role, *, inviter: User, by: Role, who: Who) -> Invitation:
    """Invite whoever reads the mails to ``email``. Invited again, the first link is no good any more.

    The mail is ``send_invitation_mail()``'s. ``by`` is what the inviter is there. Raises ``RoleForbids`` for
    a role that they may not give, or one that somebody else gave; ``Conflict`` for a member; and Django's
    ``ValidationError`` for an address that is none.
    """
    check_may_grant(by, role)
    canonical = canonical_email(email)
    if Membership.objects.filter(tenant_id=tenant_id, user__email_canonical=canonical).exists():
        raise Conflict("This person is a member already.")
    invitation = Invitation(tenant_id=tenant_id, email=email.strip(), role=role, invited_by=inviter)
    invitation.clean_fields(exclude=["invited_by"])
    with control_atomic():
        before = _pending_for(tenant_id, canonical)
        if before is not None:
            check_may_grant(by, Role(before.role))
        invitation, _ = Invitation.objects.update_or_create(
            tenant_id=tenant_id,
            email_canonical=canonical,
            defaults={
                "email": invitation.email,
                "role": role,
                "invited_by": inviter,
                "token_hash": None,
                "created_at": timezone.now(),
                "expires_at": timezone.now() + settings.INVITATION_LIFETIME,
            },
        )
        record(
            "invitation.sent", who, tenant_id=tenant_id, target=invitation.email, details={"role": role.value}
        )
    return invitation


def send_invitation_mail(invitation_id: str) -> None:
    """Make the link and send it. It is made here so that it is nowhere but in the mail: of what opens an
    account the database has a hash."""
    invitation = Invitation.objects.select_related("invited_by").filter(pk=invitation_id).first()
    if invitation is None:
        return  # it was taken back
    token = secrets.token_urlsafe(32)
    if not Invitation.objects.filter(pk=invitation.pk).update(token_hash=_digest(token)):
        return  # meanwhile
    mails.send(
        "invitation",
        invitation.email,
        tenant=get_registry().get(invitation.tenant_id),
        inviter=invitation.invited_by,
        role=Role(invitation.role).label,
        expires_at=invitation.expires_at,
        link=mails.link("invitation", token),
    )


def revoke(invitation: Invitation, *, by: Role, who: Who) -> None:
    """Raises ``RoleForbids`` for one to a role that the caller could not give."""
    check_may_grant(by, Role(invitation.role))
    with control_atomic():
        if Invitation.objects.filter(pk=invitation.pk).delete()[0]:
            record("invitation.revoked", who, tenant_id=invitation.tenant_id, target=invitation.email)


def accept(token: str, password: str | None, name: str, origin: Origin) -> tuple[User, Tenant, Role]:
    """Spend a link: whoever has it becomes a member, and a user with this password if they had none.

    Raises ``LinkNotValid``; ``PasswordRequired`` where one is to be chosen; and ``ValidationError`` for one
    that is no good, or not needed. These spend nothing.
    """
    with control_atomic():
        # Of two that come at once the second waits here, and finds it gone.
        invitation: Any = (
            Invitation.objects.select_for_update()
            .filter(token_hash=_digest(token), expires_at__gt=timezone.now())
            .first()
        )
        if invitation is None:
            raise LinkNotValid
        try:
            tenant = get_registry().get(invitation.tenant_id)
        except TenantNotFound as exc:
            raise LinkNotValid from exc
        _check_inviter(invitation)
        user, is_new = _user_for(invitation, password, name, origin)
        member, joined = Membership.objects.get_or_create(
            user=user, tenant_id=tenant.id, defaults={"role": invitation.role}
        )
        invitation.delete()
        who = person(user, origin)
        record("invitation.accepted", who, tenant_id=tenant.id, details={"new_account": is_new})
        if joined:
            # Who was a member before does not come back with what they were signed in with then.
            end_families(TokenFamily.objects.filter(user=user, tenant_id=tenant.id))
            facts = {"target": user.email, "details": {"role": member.role}}
            record("member.added", who, tenant_id=tenant.id, **facts)
    return user, tenant, Role(member.role)


def _check_inviter(invitation: Invitation) -> None:
    """An invitation is as good as the one who sent it is now: somebody who was removed, or lowered, must not
    come back, or let others in, by a link from before. Raises ``LinkNotValid``."""
    inviter = Membership.objects.filter(
        user=invitation.invited_by_id, tenant_id=invitation.tenant_id, user__is_active=True
    ).first()
    if inviter is None:
        raise LinkNotValid
    try:
        check_may_grant(Role(inviter.role), Role(invitation.role))
    except RoleForbids as exc:
        raise LinkNotValid from exc


def _pending_for(tenant_id: str, canonical: str) -> Any:
    found = Invitation.objects.select_for_update().filter(tenant_id=tenant_id, email_canonical=canonical)
    return found.first()


def _user_for(invitation: Invitation, password: str | None, name: str, origin: Origin) -> tuple[User, bool]:
    """The user whom an invitation is for, made if there is none, and whether they were. One who had no
    password is given the first."""
    user: Any = User.objects.select_for_update().filter(email_canonical=invitation.email_canonical).first()
    if user is not None and not user.is_active:
        raise LinkNotValid
    if user is not None and user.has_usable_password():
        if password is not None:
            raise ValidationError(
                {"password": ["You have a password. Leave this out, and sign in with yours."]}
            )
        return user, False
    if password is None:
        raise PasswordRequired
    if user is not None:
        check_password_rules(password, user, "password")
        user.set_password(password)
        user.save(update_fields=["password"])
        record("password.changed", person(user, origin), tenant_id="", target="the first, by invitation")
        return user, False
    check_password_rules(password, User(email=invitation.email, name=name), "password")
    try:
        return User.objects.create_user(invitation.email, password, name=name), True
    except DjangoValidationError as exc:
        raise ValidationError({"name": list(exc.messages)}) from exc


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def pending(tenant_id: str, key: uuid.UUID | None = None) -> Any:
    """The invitations to a tenant that nobody has accepted yet, the newest first."""
    found = Invitation.objects.filter(tenant_id=tenant_id).select_related("invited_by")
    return found if key is None else found.filter(pk=key)
