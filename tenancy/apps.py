from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class TenancyConfig(AppConfig):
    name = "tenancy"

    def ready(self) -> None:
        # Late: these import Django's migration machinery, which needs the app registry to be filled.
        from tenancy.checks import CHECKS, DEPLOY_CHECKS
        from tenancy.connections import install
        from tenancy.schema import teach_stock_commands

        for check in CHECKS:
            checks.register(check)
        for check in DEPLOY_CHECKS:
            checks.register(check, checks.Tags.database, deploy=True)
        install()
        teach_stock_commands()
