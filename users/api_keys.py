"""API keys: how a machine gets in that cannot sign in again and again, as a job that reports or another
product.

A key is bound to one tenant, reads or also writes there, and does nothing else: it looks after no people and
makes no keys. It lives while whoever made it is a member of the tenant who may sign in, and may never do more
than they may: who is removed must not get in by a key they kept.

The text is ``fh_`` and two parts. By the first, which anybody may see, it is found; of the whole the database
has a hash. Its 256 random bits are not guessed, so the hash is a fast one (OWASP ASVS 5, 6.5.2).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from tenancy.audit.trail import Who, record
from tenancy.rest.errors import Conflict
from tenancy.transactions import control_atomic
from users.models import ApiKey, Membership, Role, User
from users.prepared import PreparedQuery

#: What a key may be: people are looked after by people.
ROLES = (Role.MEMBER, Role.VIEWER)
#: Keys that one tenant may have at a time, against heaps: two that are made at once may be one more.
MOST = 100
#: How exactly it is known when a key was used last: each time would be a write for every request.
GRAIN = timedelta(minutes=1)

_TEXT = re.compile(r"fh_(?P<prefix>[a-z0-9]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_LETTERS = string.ascii_lowercase + string.digits


def create(
    tenant_id: str, name: str, role: Role, expires_at: datetime | None, *, maker: User, who: Who
) -> tuple[ApiKey, str]:
    """A new key and its text, which is nowhere else. Without a date it is good for ``API_KEY_LIFETIME``.

    Raises ``Conflict`` for one too many.
    """
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(12))
    text = f"fh_{prefix}_{secrets.token_urlsafe(32)}"
    with control_atomic():
        if living(tenant_id).count() >= MOST:
            raise Conflict(f"A tenant may have {MOST} API keys. Revoke one that nobody uses.")
        key = ApiKey.objects.create(
            tenant_id=tenant_id,
            name=name,
            role=role,
            prefix=prefix,
            secret_hash=_digest(text),
            created_by=maker,
            expires_at=expires_at or timezone.now() + settings.API_KEY_LIFETIME,
        )
        details = {"name": name, "role": role.value}
        record("key.created", who, tenant_id=tenant_id, target=prefix, details=details)
    return key, text


def revoke(key: ApiKey, *, who: Who) -> None:
    """Refuse a key from the next request on."""
    with control_atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            record("key.revoked", who, tenant_id=key.tenant_id, target=key.prefix, details={"name": key.name})


def keys_of(tenant_id: str, key: uuid.UUID | None = None) -> QuerySet[ApiKey]:
    """The keys of a tenant with what their maker is there now, the newest first."""
    found = _with_maker(ApiKey.objects.filter(tenant_id=tenant_id)).order_by("-created_at", "id")
    return found if key is None else found.filter(pk=key)


def living(tenant_id: str) -> QuerySet[ApiKey]:
    """Those that are neither revoked nor expired."""
    return ApiKey.objects.filter(tenant_id=tenant_id, revoked_at=None, expires_at__gt=timezone.now())


def find(text: str) -> ApiKey | None:
    """The key that somebody presents, with its maker and what they are in its tenant now, in one query. None
    for one that is no good, for whatever reason."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    key = _find_key.first(prefix=match["prefix"])
    if key is None or not hmac.compare_digest(key.secret_hash, _digest(text)):
        return None
    return key if key.is_alive() else None


def note_use(key: ApiKey) -> None:
    """Remember when a key was used last, to the minute: one write for all who use it in that."""
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at >= GRAIN:
        not_yet = Q(last_used_at=None) | Q(last_used_at__lte=now - GRAIN)
        ApiKey.objects.filter(not_yet, pk=key.pk).update(last_used_at=now)


def _with_maker(keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    # Whoever was removed and comes back does not come back with the keys of before.
    membership = Membership.objects.filter(
        user_id=OuterRef("created_by_id"),
        tenant_id=OuterRef("tenant_id"),
        created_at__lte=OuterRef("created_at"),
    )
    role = Subquery(membership.order_by().values("role")[:1])
    return keys.select_related("created_by").annotate(maker_role=role)


def _key(prefix: str) -> Any:
    return _with_maker(ApiKey.objects.filter(prefix=prefix)).order_by()


#: One query, on every request.
_find_key = PreparedQuery[ApiKey](_key, prefix="sample")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
