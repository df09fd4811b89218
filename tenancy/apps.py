from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class TenancyConfig(AppConfig):
    name = "tenancy"

    def ready(self) -> None:
        # Late: these import Django's migration machinery, which needs the app registry to be filled.
        from tenancy.checks import CHECKS
        from tenancy.schema import teach_stock_commands

        for check in CHECKS:
            checks.register(check)
        teach_stock_commands()
