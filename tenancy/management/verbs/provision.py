from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenancy.management.verbs.verb import Verb
from tenancy.provisioning import adopt


class Provision(Verb):
    name = "provision"
    help = "Make an existing database a tenant's."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant")
        parser.add_argument(
            "--adopt", action="store_true", required=True, help="Stamp a database that has tables already."
        )

    def handle(self, **options: Any) -> None:
        tenant_id = options["tenant"]
        done = adopt(tenant_id)
        self.stdout.write(f"{tenant_id}: {'stamped' if done else 'was stamped already'}.")
