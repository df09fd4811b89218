"""Tools, who made them and what they are called: relations of every kind, managers of both."""

from __future__ import annotations

import uuid

from django.db import models

from tenancy.models import TenantModel
from tenancy.querysets import TenantManager, TenantQuerySet


class Maker(TenantModel):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.name


class Label(TenantModel):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.name


class ToolQuerySet(TenantQuerySet["Tool"]):
    def sharp(self) -> ToolQuerySet:
        return self.filter(is_sharp=True)


class Tool(TenantModel):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    note = models.TextField(blank=True)
    is_sharp = models.BooleanField(default=True)
    made_at = models.DateTimeField(auto_now_add=True)
    maker = models.ForeignKey(Maker, on_delete=models.CASCADE, related_name="tools")
    owner = models.ForeignKey(
        Maker, on_delete=models.SET_NULL, null=True, blank=True, related_name="owned_tools"
    )
    labels = models.ManyToManyField(Label, related_name="tools", blank=True)

    objects = ToolQuerySet.as_manager()
    others = TenantManager.from_queryset(ToolQuerySet)()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name"], name="tool_name_unique"),)

    def __str__(self) -> str:
        return self.name


class Manual(TenantModel):
    """One to one, with the tool's own key."""

    tool = models.OneToOneField(Tool, on_delete=models.CASCADE, primary_key=True)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class PowerTool(Tool):
    """In a table of its own, beside the tool's."""

    watts = models.PositiveIntegerField(default=0)


class SharpTool(Tool):
    """The same table by another name."""

    class Meta:
        proxy = True
