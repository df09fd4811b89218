from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import got_request_exception


class AuditConfig(AppConfig):
    name = "tenancy.audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Late: these need the app registry to be filled.
        from tenancy.audit.observers import note_failed_task, note_registry_change, note_request_exception
        from tenancy.conf import conf
        from tenancy.registry import registry_changed

        registry_changed.connect(note_registry_change)
        got_request_exception.connect(note_request_exception)
        if conf.celery_app:
            from celery.signals import task_failure

            task_failure.connect(note_failed_task)
