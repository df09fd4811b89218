from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.table import Table
from rich.text import Text

from tenancy.console import print_table
from tenancy.exceptions import RegistryUnavailable
from tenancy.planes import CONTROL_ALIAS
from tenancy.provisioning import adopt
from tenancy.registry import Registry, get_registry


class Command(BaseCommand):
    help = "Looks after the tenants of tenants.yaml."
    requires_system_checks = []  # an invalid file is what `check` is for

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        check = verbs.add_parser("check", help="Say whether a tenants.yaml is valid, and open nothing.")
        check.add_argument("file", nargs="?", type=Path, help="Default: the file in use.")
        provision = verbs.add_parser("provision", help="Make an existing database a tenant's.")
        provision.add_argument("tenant")
        provision.add_argument(
            "--adopt", action="store_true", required=True, help="Stamp a database that has tables already."
        )
        listing = verbs.add_parser("list", help="List the tenants.")
        listing.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "check":
            self.check_file(options["file"])
        elif options["verb"] == "list":
            self.show(options["json"])
        else:
            self.provision(options["tenant"])

    def check_file(self, file: Path | None) -> None:
        file = file or Path(settings.TENANTS_FILE)
        registry = Registry.load(
            file,
            control=settings.DATABASES[CONTROL_ALIAS],
            production=not settings.DEBUG,
            environ=os.environ,
            max_bytes=settings.TENANCY_MAX_FILE_BYTES,
        )
        if registry.error is not None:
            self.stderr.write(str(registry.error))
            sys.exit(1)
        count = len(registry)
        self.stdout.write(f"{file.name}: {count} {'tenant' if count == 1 else 'tenants'}, all valid.")

    def provision(self, tenant_id: str) -> None:
        done = adopt(tenant_id)
        self.stdout.write(f"{tenant_id}: {'stamped' if done else 'was stamped already'}.")

    def show(self, as_json: bool) -> None:
        registry = get_registry()
        try:
            registry.require()
        except RegistryUnavailable as exc:
            raise CommandError(str(exc)) from exc
        if as_json:
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
