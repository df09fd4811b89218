from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.table import Table
from rich.text import Text

from tenancy.console import print_table
from tenancy.exceptions import RegistryUnavailable
from tenancy.management.verbs.verb import Verb
from tenancy.registry import get_registry


class List(Verb):
    name = "list"
    help = "List the tenants."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, **options: Any) -> None:
        registry = get_registry()
        try:
            registry.require()
        except RegistryUnavailable as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            rows = [
                {
                    "id": tenant.id,
                    "name": tenant.name,
                    "status": tenant.status.value,
                    "engine": tenant.engine,
                    "labels": dict(tenant.labels),
                }
                for tenant in registry
            ]
            self.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2))
            return
        table = Table("id", "name", "status", "engine", "labels", box=None, pad_edge=False)
        for tenant in registry:
            labels = " ".join(f"{key}={value}" for key, value in tenant.labels.items())
            # Text, not str: rich would read [brackets] in a name as markup.
            table.add_row(tenant.id, Text(tenant.name), tenant.status.value, tenant.engine, Text(labels))
        print_table(self.stdout, table)
