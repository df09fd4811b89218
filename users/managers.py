from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.base_user import BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenancy.registry import get_registry
from tenancy.tenant import Tenant
from users.email import canonical_email

if TYPE_CHECKING:
    from users.models import Membership, TokenFamily, User


class UserManager(BaseUserManager["User"]):
    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """A user who may sign in. Without a password they can still be given one later.

        Raises ``ValidationError`` for an address that is missing, malformed or taken.
        """
        user = self.model(email=(email or "").strip(), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True} | fields)

    def get_by_natural_key(self, email: str | None) -> User:
        """The one way to find somebody by address: as typed, in any case and width."""
        return self.get(email_canonical=canonical_email(email or ""))


def idle_lifetime() -> timedelta:
    """How long a session may go unused: as long as its refresh token lives, and the leeway of its clock."""
    jwt: dict[str, Any] = settings.SIMPLE_JWT
    lifetime: timedelta = jwt["REFRESH_TOKEN_LIFETIME"] + jwt["LEEWAY"]
    return lifetime


class TokenFamilyManager(models.Manager["TokenFamily"]):
    def living(self, user: User) -> models.QuerySet[TokenFamily]:
        """The user's sessions whose tokens are good, the one used last first."""
        now = timezone.now()
        hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
        return self.filter(
            user=user,
            auth_hash__in=hashes,
            revoked_at=None,
            expires_at__gt=now,
            used_at__gt=now - idle_lifetime(),
        ).order_by("-used_at", "id")

    def over(self, before: datetime) -> models.QuerySet[TokenFamily]:
        """Those that were over at ``before``."""
        return self.filter(
            Q(revoked_at__lt=before) | Q(expires_at__lt=before) | Q(used_at__lt=before - idle_lifetime())
        )


class MembershipManager(models.Manager["Membership"]):
    def known(self, user: User) -> list[tuple[Membership, Tenant]]:
        """The user's memberships whose tenant exists, by tenant id."""
        registry = get_registry()
        registry.require()
        return [
            (membership, registry.get(membership.tenant_id))
            for membership in self.filter(user=user).order_by("tenant_id")
            if membership.tenant_id in registry
        ]
