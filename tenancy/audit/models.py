"""One row for each event. Rows are added and read; the database refuses to change or delete one."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.core.checks import CheckMessage
from django.db import models
from django.utils import timezone


class Actor(models.TextChoices):
    """What kind of somebody did it."""

    PERSON = "person", "Person"
    KEY = "key", "API key"
    OPERATOR = "operator", "Operator"  # at a command line, or staff in the admin
    SERVICE = "service", "The service itself"
    UNKNOWN = "unknown", "Nobody who is known"


class Outcome(models.TextChoices):
    OK = "ok", "Done"
    REFUSED = "refused", "Refused"
    FAILED = "failed", "Failed"


class Severity(models.TextChoices):
    """``warning`` is for somebody to look at, ``critical`` to be woken for."""

    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


class DetailsField(models.JSONField):
    """Django's, without its system check: that opens every database to ask an SQLite what it was compiled
    with, and before the first ``migrate`` there is none."""

    def _check_supported(self, databases: object) -> list[CheckMessage]:
        return []

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class Event(models.Model):
    """Something that somebody did, or tried to. No secret and no content of a tenant's is ever in one.

    People, keys and tenants are named by their ids and, beside them, as they were called then: none of them
    has to be there still.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(default=timezone.now, editable=False)
    tenant_id = models.CharField("tenant", max_length=40, blank=True)
    #: Of what is done, the noun first: ``member.removed``. One of ``tenancy.audit.trail.ACTIONS``.
    action = models.CharField(max_length=40)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.OK)
    severity = models.CharField(max_length=8, choices=Severity, default=Severity.INFO)
    actor_kind = models.CharField(max_length=8, choices=Actor)
    #: A user's or a key's UUID; ``name@host`` of an operator at a command line.
    actor_id = models.CharField(max_length=300, blank=True)
    actor = models.CharField(max_length=320, blank=True)
    #: What it was done to: a member's address, a key's prefix, a report's name.
    target = models.CharField(max_length=320, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    #: The family (``sid``) of the token, or the API key.
    token_id = models.CharField(max_length=64, blank=True)
    details = DetailsField(default=dict, blank=True)

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        ordering = ("-at", "-id")
        indexes = (
            models.Index(fields=["tenant_id", "-at", "-id"], name="audit_by_tenant"),
            models.Index(fields=["-at", "-id"], name="audit_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action} {self.outcome}"
