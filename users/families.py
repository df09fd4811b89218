"""Token families: signing in, refreshing, ending. Every rule that a race could break is here.

To a person a family is a session.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import update_last_login
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.crypto import salted_hmac

from tenancy.audit.models import Outcome, Severity
from tenancy.audit.trail import record
from tenancy.registry import get_registry
from tenancy.transactions import control_atomic
from users.models import Membership, TokenFamily, User
from users.origin import NOWHERE, Origin
from users.people import person
from users.prepared import PreparedQuery
from users.tokens import Claims, TenantAccessToken, TenantRefreshToken

#: How long a request may have been under way when another spent its token: as long as one takes, and no
#: longer.
OVERLAP = timedelta(seconds=2)


@dataclass(frozen=True)
class TokenPair:
    """A pair of signed tokens. ``repr()`` shows neither."""

    access: str
    refresh: str

    def __repr__(self) -> str:
        return "TokenPair(…)"


class FamilyEnded(Exception):
    """The refresh token is not (or no longer) the good one of a living family."""


class TokenSpent(Exception):
    """The refresh token was spent by a request that was under way when this one came: a client that sent it
    twice. The family lives, with the token that the other was given."""


class MembershipGone(Exception):
    """The family lives, but its user no longer belongs to its tenant, or there is no such tenant."""


def open_family(
    user: User, tenant_id: str, origin: Origin = NOWHERE, *, action: str = "sign_in"
) -> TokenPair:
    """Sign ``user`` in to a tenant. The caller has checked that they may. ``action`` is what is recorded."""
    now = timezone.now()
    with control_atomic():
        family = TokenFamily(
            id=uuid.uuid4(),
            user=user,
            tenant_id=tenant_id,
            auth_hash=user.get_session_auth_hash(),
            created_at=now,
            used_at=now,
            expires_at=now + settings.TOKEN_FAMILY_LIFETIME,
            address=origin.address,
            user_agent=origin.user_agent,
        )
        pair, token_id = _pair(family)
        family.refresh_id = _digest(token_id)
        family.save(force_insert=True)
        update_last_login(None, user)  # type: ignore[arg-type]
        record(action, person(user, origin, str(family.pk)), tenant_id=tenant_id)
    return pair


def refresh_family(
    claims: Claims, *, asked_at: datetime | None = None, retry_key: str = "", origin: Origin = NOWHERE
) -> TokenPair:
    """Spend a refresh token and return the next pair.

    1. The family, its user and the membership are read. A dead family raises ``FamilyEnded``, a lost
       membership ``MembershipGone`` (and spends nothing).
    2. One conditional UPDATE swaps the old token's id for the new one's. Of any number of concurrent
       redeemers exactly one changes a row: the database evaluates the condition under the row's lock.
    3. Whoever changed no row presented a spent token. Unless that was a client's own doing (below), somebody
       has a copy, so the whole family ends, in a statement of its own: the answer is an error, which must not
       roll it back.

    A client may have sent the token twice. Where the request that spent it was still under way at
    ``asked_at``, when this one came, ``TokenSpent`` is raised and nothing ends. A client that lost an answer
    and asks again with the same ``retry_key`` within ``TOKEN_RETRY_WITHIN`` gets the same token again: the
    next token's id follows from the spent one's and the key, so that nothing has to be kept for this. Who
    copied the spent token alone has no such key.
    """
    family = _find(claims)
    if family is None or not family.is_alive():
        raise FamilyEnded
    registry = get_registry()
    registry.require()
    if family.role is None or family.tenant_id not in registry:
        raise MembershipGone
    pair, token_id = _pair(family, _successor(claims, retry_key) if retry_key else None)
    spent, following = _digest(claims.token_id), _digest(token_id)
    living = TokenFamily.objects.filter(pk=family.pk, revoked_at__isnull=True)
    now = timezone.now()
    if living.filter(refresh_id=spent).update(refresh_id=following, previous_id=spent, used_at=now):
        return pair
    current = living.filter(previous_id=spent).first()
    if current is not None:
        in_time = now - current.used_at <= settings.TOKEN_RETRY_WITHIN
        if retry_key and in_time and current.refresh_id == following:
            return pair
        if asked_at is not None and current.used_at - OVERLAP <= asked_at <= current.used_at:
            _note_reuse(family, origin, Severity.INFO)
            raise TokenSpent
    with control_atomic():
        if end_family(claims):
            _note_reuse(family, origin, Severity.WARNING)
    raise FamilyEnded


def _note_reuse(family: TokenFamily, origin: Origin, severity: Severity) -> None:
    who = person(family.user, origin, str(family.pk))
    facts = {"outcome": Outcome.REFUSED, "severity": severity}
    record("token.reused", who, tenant_id=family.tenant_id, **facts)


def end_family(claims: Claims) -> bool:
    """Revoke a family: its access tokens too are refused from the next request on. Whether it was alive."""
    family = TokenFamily.objects.filter(pk=claims.family_id, user_id=claims.user_id)
    return end_families(family) == 1


def end_families(families: QuerySet[TokenFamily]) -> int:
    """Revoke those of ``families`` that are not yet; how many."""
    return families.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())


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


def _successor(claims: Claims, retry_key: str) -> str:
    """The id of the token that follows on this one for whoever names this key. Nobody can foretell it who
    does not know ``SECRET_KEY``."""
    value = f"{claims.family_id} {claims.token_id} {retry_key}"
    return salted_hmac("users.families.successor", value, algorithm="sha256").hexdigest()[:32]


def _pair(family: TokenFamily, token_id: str | None = None) -> tuple[TokenPair, str]:
    """A signed pair for the family, and the id of its refresh token, which may be given."""
    refresh = TenantRefreshToken.issue(family.user_id, family.tenant_id, family.pk)
    if token_id is not None:
        refresh.payload["jti"] = token_id
    refresh.expire_by(family.expires_at)
    access = TenantAccessToken.issue(family.user_id, family.tenant_id, family.pk)
    return TokenPair(str(access), str(refresh)), refresh["jti"]


def _digest(token_id: str) -> str:
    return hashlib.sha256(token_id.encode()).hexdigest()
