from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from project import demo
from tenancy.context import tenant_context
from tenancy.registry import get_registry


class Command(BaseCommand):
    help = "Migrates and fills the demo: four people and three catalogues. Safe to run twice."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo's password is public. Set DEBUG=1 where that does no harm.")
        registry = get_registry()
        registry.require()
        quiet = max(options["verbosity"] - 1, 0)
        call_command("migrate", database="control", verbosity=quiet)
        self.stdout.write(f"control: migrated, {demo.create_people()} new people")
        for tenant in registry:
            call_command("migrate", database=tenant.id, verbosity=quiet)
            made = ""
            if tenant.id in demo.ASSORTMENTS:
                with tenant_context(tenant):
                    made = f", {demo.create_catalogue()} new products"
            self.stdout.write(f"{tenant.id}: migrated{made}")
