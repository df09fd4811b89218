"""Token families: signing in, refreshing, ending. Every rule that a race could break is here."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import update_last_login
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from tenancy.registry import get_registry
from tenancy.transactions import control_atomic
from users.models import Membership, TokenFamily, User
from users.prepared import PreparedQuery
from users.tokens import Claims, TenantAccessToken, TenantRefreshToken


@dataclass(frozen=True)
class TokenPair:
    """A pair of signed tokens. ``repr()`` shows neither."""

    access: str
    refresh: str

    def __repr__(self) -> str:
        return "TokenPair(…)"


class FamilyEnded(Exception):
    """The refresh token is not (or no longer) the good one of a living family."""


class MembershipGone(Exception):
    """The family lives, but its user no longer belongs to its tenant, or there is no such tenant."""


def open_family(user: User, tenant_id: str) -> TokenPair:
    """Sign ``user`` in to a tenant. The caller has checked that they may."""
    with control_atomic():
        family = TokenFamily(
            id=uuid.uuid4(),
            user=user,
            tenant_id=tenant_id,
            auth_hash=user.get_session_auth_hash(),
            expires_at=timezone.now() + settings.TOKEN_FAMILY_LIFETIME,
        )
        pair, token_id = _pair(family)
        family.refresh_id = _digest(token_id)
        family.save(force_insert=True)
        update_last_login(None, user)  # type: ignore[arg-type]
    return pair


def refresh_family(claims: Claims) -> TokenPair:
    """Spend a refresh token and return the next pair.

    1. The family, its user and the membership are read. A dead family raises ``FamilyEnded``, a lost
       membership ``MembershipGone`` (and spends nothing).
    2. One conditional UPDATE swaps the old token's id for the new one's. Of any number of concurrent
       redeemers exactly one changes a row: the database evaluates the condition under the row's lock.
    3. Whoever changed no row presented a spent token. Somebody has a copy, so the whole family ends,
       in a statement of its own: the answer is an error, which must not roll it back.
    """
    family = _find(claims)
    if family is None or not family.is_alive():
        raise FamilyEnded
    registry = get_registry()
    registry.require()
    if family.role is None or family.tenant_id not in registry:
        raise MembershipGone
    pair, token_id = _pair(family)
    swapped = TokenFamily.objects.filter(
        pk=family.pk, refresh_id=_digest(claims.token_id), revoked_at__isnull=True
    ).update(refresh_id=_digest(token_id), used_at=timezone.now())
    if not swapped:
        end_family(claims)
        raise FamilyEnded
    return pair


def end_family(claims: Claims) -> None:
    """Revoke a family: its access tokens too are refused from the next request on."""
    TokenFamily.objects.filter(pk=claims.family_id, user_id=claims.user_id, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )


def find_family(claims: Claims) -> TokenFamily | None:
    """The living family of an access token, with user and role, in one query."""
    family = _find(claims)
    return family if family is not None and family.is_alive() else None


def _family(id: uuid.UUID, user: uuid.UUID, tenant_id: str) -> QuerySet[TokenFamily]:  # noqa: A002
    """The family with its user and, as ``role``, what that user is in the family's tenant now (None for
    a membership that is gone)."""
    membership = Membership.objects.filter(user_id=OuterRef("user_id"), tenant_id=OuterRef("tenant_id"))
    return (
        TokenFamily.objects.select_related("user")
        .annotate(role=Subquery(membership.order_by().values("role")[:1]))
        .filter(id=id, user=user, tenant_id=tenant_id)
        .order_by()
    )


#: One query, on every request.
_find_family = PreparedQuery(_family, id=uuid.uuid4(), user=uuid.uuid4(), tenant_id="sample")


def _find(claims: Claims) -> TokenFamily | None:
    return _find_family.first(id=claims.family_id, user=claims.user_id, tenant_id=claims.tenant_id)


def _pair(family: TokenFamily) -> tuple[TokenPair, str]:
    """A signed pair for the family, and the id of its refresh token."""
    refresh = TenantRefreshToken.issue(family.user_id, family.tenant_id, family.pk)
    refresh.expire_by(family.expires_at)
    access = TenantAccessToken.issue(family.user_id, family.tenant_id, family.pk)
    return TokenPair(str(access), str(refresh)), refresh["jti"]


def _digest(token_id: str) -> str:
    return hashlib.sha256(token_id.encode()).hexdigest()
