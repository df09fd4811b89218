"""Runs over the fleet, and what became of each tenant in them."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Run(models.Model):
    """One command over many tenants. While ``ended_at`` is empty it holds the lock of its kind."""

    class Outcome(models.TextChoices):
        RUNNING = "running", "Running"
        OK = "ok", "All well"
        FAILED = "failed", "Some tenants failed"
        STOPPED = "stopped", "Stopped: a canary or too many failed"
        INTERRUPTED = "interrupted", "Interrupted"
        CRASHED = "crashed", "Ended without a word"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=16)
    #: What it was to reach, as it was asked for; empty for everything.
    target = models.CharField(max_length=255, blank=True)
    tenants = models.PositiveIntegerField(help_text="How many were chosen.")
    #: Who runs it, so that the next one can be told, and can see whether it still lives.
    user = models.CharField(max_length=150)
    host = models.CharField(max_length=255)
    process = models.CharField(max_length=100)
    started_at = models.DateTimeField(default=timezone.now)
    heard_at = models.DateTimeField(help_text="Its last sign of life, by the database's clock.")
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.RUNNING)

    class Meta:
        ordering = ("-started_at",)
        constraints = (
            models.UniqueConstraint(
                fields=["kind"], condition=Q(ended_at__isnull=True), name="run_one_at_a_time"
            ),
        )
        indexes = (models.Index(fields=["started_at"], name="run_by_time"),)

    def __str__(self) -> str:
        return f"{self.kind} of {self.started_at:%Y-%m-%d %H:%M} by {self.user}@{self.host}"


class Entry(models.Model):
    """What a run did to one tenant. There is none for a tenant with which there was nothing to do."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="entries", db_index=False)
    #: Which of the run's it is: written again, it is still one. A tenant may have two, as one that was given
    #: up and came to an end all the same.
    number = models.PositiveIntegerField(null=True, editable=False)
    tenant_id = models.CharField("tenant", max_length=40)
    #: ``tenancy.fleet.Result`` and ``tenancy.upgrade.Way``.
    result = models.CharField(max_length=16)
    way = models.CharField(max_length=16)
    #: The last migration of each app.
    before = models.TextField(blank=True)
    after = models.TextField(blank=True)
    seconds = models.FloatField()
    error = models.TextField(blank=True)
    ended_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "entries"
        # Finds the entries of a run, too. Those from before there were numbers have none.
        constraints = (models.UniqueConstraint(fields=["run", "number"], name="entry_once"),)
        indexes = (models.Index(fields=["tenant_id", "ended_at"], name="entry_by_tenant"),)

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.result}"
