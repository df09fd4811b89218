from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as StockCommand
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder

from tenancy import schema
from tenancy.audit.trail import operator, try_to_record
from tenancy.connections import maintenance
from tenancy.exceptions import DatabaseBusy, SchemaMissing, StampMismatch, UnstampedDatabase
from tenancy.management.alias import AliasCommand
from tenancy.planes import Plane, plane_of_alias, plane_of_app


class Command(AliasCommand, StockCommand):
    help = "Updates the schema of one database: the control plane's, or one tenant's."

    #: Whether the audit trail is told; ``tenancy.testing`` makes databases that are nobody's.
    is_recorded = True

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        self.refuse_other_plane(alias, options.get("app_label"))
        # Looking makes no file and takes no longer than anything else may.
        looks = options["plan"] or options["check_unapplied"]
        # The control plane may not have the trail's table yet.
        is_told = self.is_recorded and not looks and plane_of_alias(alias) is not Plane.CONTROL
        with (
            nullcontext() if looks else maintenance(alias, patience=schema.PATIENCE),
            _recorded(alias) if is_told else nullcontext(),
        ):
            try:
                super().handle(*args, **options)
            except (DatabaseBusy, SchemaMissing, StampMismatch, UnstampedDatabase) as exc:
                raise CommandError(str(exc)) from exc

    def refuse_other_plane(self, alias: str, app_label: str | None) -> None:
        if app_label is None or app_label not in apps.app_configs:
            return  # stock says what it says about an app that is not there
        plane = plane_of_app(app_label)
        if plane is None:
            raise CommandError(f"App '{app_label}' is named in neither TENANT_APPS nor CONTROL_APPS.")
        if plane is not plane_of_alias(alias):
            where = "the control plane" if plane is Plane.CONTROL else "the tenants"
            raise CommandError(f"App '{app_label}' belongs to {where}, and '{alias}' does not hold it.")


@contextmanager
def _recorded(alias: str) -> Iterator[None]:
    """Tell the audit trail if the migrations of a tenant's database are not those of before, however that
    ended."""
    before = _applied(alias)
    try:
        yield
    finally:
        after = _applied(alias)
        if before is not None and after is not None and after != before:
            details = {"applied": len(after - before), "unapplied": len(before - after)}
            try_to_record("tenant.migrated", operator(), tenant_id=alias, details=details)


def _applied(alias: str) -> set[tuple[str, str]] | None:
    """None where the database does not say: what it had then is nobody's to claim."""
    with suppress(DatabaseError):
        return set(MigrationRecorder(connections[alias]).applied_migrations())
    return None
