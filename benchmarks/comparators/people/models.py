"""What ``users.models`` has, as plain Django."""

from __future__ import annotations

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone


class User(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    email_canonical = models.CharField(max_length=320, unique=True, editable=False)
    name = models.CharField(max_length=150, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects = BaseUserManager()

    USERNAME_FIELD = "email"

    class Meta:
        ordering = ("email_canonical",)

    def __str__(self) -> str:
        return self.email


class Membership(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    tenant_id = models.CharField(max_length=40)
    role = models.CharField(max_length=16)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "tenant_id"], name="membership_once_per_tenant"),
        )
        indexes = (models.Index(fields=["tenant_id", "role"], name="membership_by_tenant"),)

    def __str__(self) -> str:
        return f"{self.user} of {self.tenant_id}"


class TokenFamily(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    tenant_id = models.CharField(max_length=40)
    refresh_id = models.CharField(max_length=64)
    auth_hash = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    used_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=["expires_at"], name="token_family_by_expiry"),)

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant_id}"
