from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as StockCommand

from tenancy import schema
from tenancy.connections import maintenance
from tenancy.exceptions import DatabaseBusy, SchemaMissing, StampMismatch, UnstampedDatabase
from tenancy.management.alias import AliasCommand
from tenancy.planes import Plane, plane_of_alias, plane_of_app


class Command(AliasCommand, StockCommand):
    help = "Updates the schema of one database: the control plane's, or one tenant's."

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        self.refuse_other_plane(alias, options.get("app_label"))
        # Looking makes no file and takes no longer than anything else may.
        looks = options["plan"] or options["check_unapplied"]
        with nullcontext() if looks else maintenance(alias, patience=schema.PATIENCE):
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
