from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import BaseUserManager
from django.db import models

from tenancy.registry import get_registry
from tenancy.tenant import Tenant
from users.email import canonical_email

if TYPE_CHECKING:
    from users.models import Membership, User


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
