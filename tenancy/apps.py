from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class TenancyConfig(AppConfig):
    name = "tenancy"

    def ready(self) -> None:
        # Late: these import Django's migration machinery, which needs the app registry to be filled.
        from tenancy.checks import check_tenants_file
        from tenancy.schema import teach_stock_commands

        checks.register(check_tenants_file)
        teach_stock_commands()
