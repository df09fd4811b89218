from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenancy.management.verbs.reporting import Reporting


class Command(BaseCommand):
    help = "Runs a report over tenants. Exits 1 when one of them could not be asked."
    requires_system_checks = []  # an invalid tenants.yaml is told in one line, when it is asked for

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verb = Reporting(self)

    def add_arguments(self, parser: CommandParser) -> None:
        self.verb.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.verb.handle(**options)
