"""The audit trail for staff: of every tenant, to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from tenancy.audit.models import Event


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic class at run time
    list_display = ("at", "severity", "action", "outcome", "tenant_id", "actor", "target", "address")
    list_filter = ("severity", "outcome", "action")
    search_fields = ("tenant_id", "actor_id", "actor", "target", "request_id", "token_id")
    date_hierarchy = "at"
    show_full_result_count = False  # of very many rows

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any) -> bool:
        return False
