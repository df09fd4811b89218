from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.core.signals import request_finished


class TenancyConfig(AppConfig):
    name = "tenancy"

    def ready(self) -> None:
        # Late: these import Django's migration machinery, which needs the app registry to be filled.
        from tenancy.checks import CHECKS
        from tenancy.connections import close_after_request
        from tenancy.schema import teach_stock_commands

        for check in CHECKS:
            checks.register(check)
        request_finished.connect(close_after_request)
        teach_stock_commands()
