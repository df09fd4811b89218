from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands.createsuperuser import Command as StockCommand
from django.core.management.base import CommandError

from tenancy.management.alias import AliasCommand
from tenancy.planes import CONTROL_ALIAS


class Command(AliasCommand, StockCommand):
    help = "Makes a user who may do everything in the admin, in the control plane."

    def handle(self, *args: Any, **options: Any) -> Any:
        if options["database"] != CONTROL_ALIAS:
            raise CommandError(f"Users live in the control plane. Write --database {CONTROL_ALIAS}.")
        return super().handle(*args, **options)
