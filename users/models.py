"""Who may enter: people, the tenants they belong to, and the sessions they opened."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from users.email import canonical_email, validate_local_part, validate_one_line
from users.managers import MembershipManager, TokenFamilyManager, UserManager, idle_lifetime


class User(AbstractBaseUser, PermissionsMixin):
    """A person. One account, however many tenants."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(
        "e-mail",
        unique=True,
        validators=[validate_local_part],
        error_messages={"unique": "A user with this e-mail exists."},
    )
    #: What is compared; kept by ``save()``. Mail goes to ``email``, which keeps the case it was typed in.
    email_canonical = models.CharField(max_length=320, unique=True, editable=False)
    name = models.CharField(max_length=150, blank=True, validators=[validate_one_line])
    is_staff = models.BooleanField("may use the admin", default=False)
    is_active = models.BooleanField("active", default=True, help_text="Uncheck instead of deleting.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ("email_canonical",)
        constraints = (models.CheckConstraint(condition=~Q(email=""), name="user_email_not_empty"),)

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email_canonical = canonical_email(self.email)
        # A form checks the uniqueness of the fields it shows, and this one is in none.
        if User.objects.filter(email_canonical=self.email_canonical).exclude(pk=self.pk).exists():
            raise ValidationError({"email": self.unique_error_message(type(self), ("email",))})

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email_canonical = canonical_email(self.email)
        fields = kwargs.get("update_fields")
        if fields is not None and "email" in fields:
            kwargs["update_fields"] = {*fields, "email_canonical"}
        super().save(*args, **kwargs)


class Role(models.TextChoices):
    """What a member may do in one tenant."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


class Membership(models.Model):
    """A user belongs to a tenant, in a role. The tenant is an id of tenants.yaml, not a row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    tenant_id = models.CharField("tenant", max_length=40)
    role = models.CharField(max_length=16, choices=Role)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[MembershipManager] = MembershipManager()

    class Meta:
        ordering = ("tenant_id", "user")
        constraints = (
            models.UniqueConstraint(
                fields=["user", "tenant_id"],
                name="membership_once_per_tenant",
                violation_error_message="This user is a member of this tenant already.",
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        )
        indexes = (models.Index(fields=["tenant_id", "role"], name="membership_by_tenant"),)

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.tenant_id}"


class Invitation(models.Model):
    """Somebody was asked by mail to join a tenant, and has not come yet. Accepted or taken back it is
    gone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant_id = models.CharField("tenant", max_length=40)
    email = models.EmailField("e-mail", validators=[validate_local_part])
    email_canonical = models.CharField(max_length=320, editable=False)
    role = models.CharField(max_length=16, choices=Role)
    #: SHA-256 of what stands in the link; empty until the mail is made.
    token_hash = models.CharField(max_length=64, unique=True, null=True, blank=True)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at", "id")
        constraints = (
            models.UniqueConstraint(
                fields=["tenant_id", "email_canonical"], name="invitation_once_per_tenant"
            ),
        )

    def __str__(self) -> str:
        return f"{self.email} to {self.tenant_id}"


class TokenFamily(models.Model):
    """One sign-in, and all the tokens that came of it: the ``sid`` claim.

    Of its refresh tokens exactly one is good, the one whose id is ``refresh_id``.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    tenant_id = models.CharField("tenant", max_length=40)
    refresh_id = models.CharField(max_length=64)  # SHA-256 of the jti: a leaked row signs nobody in
    #: The one that was spent for it. Whoever presents this may be a client that lost the answer.
    previous_id = models.CharField(max_length=64, blank=True)
    #: Changes with the user's password, and with it every family of theirs is over.
    auth_hash = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    #: When its tokens were last refreshed. Unused for ``REFRESH_TOKEN_LIFETIME`` it is over.
    used_at = models.DateTimeField(default=timezone.now, editable=False)
    #: When it is over however much it is used.
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    #: Where it was opened, so that its user can tell one from another.
    address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)

    objects: ClassVar[TokenFamilyManager] = TokenFamilyManager()

    class Meta:
        verbose_name_plural = "token families"
        ordering = ("-used_at",)
        indexes = (models.Index(fields=["expires_at"], name="token_family_by_expiry"),)

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant_id} since {self.created_at:%Y-%m-%d %H:%M}"

    def _fallback_hashes(self) -> Iterable[str]:
        """What the hash was under the keys of ``SECRET_KEY_FALLBACKS``: changing the key ends no session."""
        return self.user.get_session_auth_fallback_hash()

    @property
    def ends_at(self) -> datetime:
        """When it is over if it is not used again."""
        return min(self.expires_at, self.used_at + idle_lifetime())

    def is_alive(self, now: datetime | None = None) -> bool:
        """Whether its tokens are good: not revoked, not expired, user active, password unchanged."""
        return (
            self.revoked_at is None
            and (now or timezone.now()) < self.ends_at
            and self.user.is_active
            and self.auth_hash in (self.user.get_session_auth_hash(), *self._fallback_hashes())
        )


class ApiKey(models.Model):
    """How a machine gets into one tenant; ``users.api_keys`` has the rules."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant_id = models.CharField("tenant", max_length=40)
    #: What it is for, in its maker's words.
    name = models.CharField(max_length=100, validators=[validate_one_line])
    role = models.CharField(max_length=16, choices=Role)
    #: How it is found, and told from others by people.
    prefix = models.CharField(max_length=16, unique=True)
    #: SHA-256 of the whole text.
    secret_hash = models.CharField(max_length=64)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    #: To the minute.
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    #: What the maker is in the tenant now, where the query asked for it; None for somebody who left.
    maker_role: str | None = None

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at", "id")
        constraints = (
            models.CheckConstraint(
                condition=Q(role__in=[Role.MEMBER, Role.VIEWER]), name="api_key_manages_nobody"
            ),
        )
        indexes = (models.Index(fields=["tenant_id", "-created_at"], name="api_key_by_tenant"),)

    def __str__(self) -> str:
        return f"{self.prefix} of {self.tenant_id}"

    @property
    def effective_role(self) -> Role:
        """What it may do: never more than its maker."""
        return Role.VIEWER if Role.VIEWER in (self.role, self.maker_role) else Role.MEMBER

    def is_alive(self, now: datetime | None = None) -> bool:
        """Whether it opens anything. Needs ``maker_role``: one without is taken for one whose maker left."""
        return (
            self.revoked_at is None
            and (now or timezone.now()) < self.expires_at
            and self.created_by is not None
            and self.created_by.is_active
            and self.maker_role is not None
        )


class Attempts(models.Model):
    """How often something was tried for one account, or from one address; ``users.brakes`` has the rules."""

    key = models.CharField(max_length=100, primary_key=True)
    #: In the window that began at ``since``, and since the last success.
    count = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()
    at = models.DateTimeField("last one at")
    blocked_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "attempts"
        ordering = ("-at",)
        indexes = (models.Index(fields=["at"], name="attempts_by_time"),)

    def __str__(self) -> str:
        return f"{self.key.rpartition(':')[0]}: {self.count}"
