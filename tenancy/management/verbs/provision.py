from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenancy.fleet import Outcome
from tenancy.management.verbs.recorded import recorded
from tenancy.management.verbs.verb import FleetVerb
from tenancy.provisioning import adopt, provision
from tenancy.template import Template
from tenancy.tenant import Tenant


class Provision(FleetVerb):
    name = "provision"
    help = "Make what a tenant's entry names: database or schema, role, rights, stamp, tables."
    takes_suspended = True

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(jobs=1)  # a server makes one database at a time
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="Only stamp a database that has a tenant's tables already, as a restored one.",
        )
        parser.epilog = (
            "On PostgreSQL the environment's PROVISION_URL names a superuser, as in "
            "postgres://postgres:…@db1.internal/postgres. It is not kept; without it the database has to be "
            "there."
        )

    def handle(self, **options: Any) -> None:
        if options["adopt"] and not options["tenants"]:
            raise CommandError("Name the tenants whose databases are to be adopted.", returncode=2)
        url = os.environ.get("PROVISION_URL") or None
        template = Template()

        def work(tenant: Tenant) -> list[str]:
            if options["adopt"]:
                return ["stamped"] if adopt(tenant.id) else []
            return provision(tenant, url, template)

        found: list[Outcome[list[str]]] = []
        with recorded("tenant.provisioned", "adopted" if options["adopt"] else "") as tell:
            for outcome in self.each(work, options):
                if outcome.value is not None:
                    nothing = "was stamped already" if options["adopt"] else "all was well"
                    self.stdout.write(f"{outcome.tenant.id}: {', '.join(outcome.value) or nothing}.")
                if outcome.value != []:
                    tell(outcome)
                found.append(outcome)
        if url is None and any(not one.is_ok and one.tenant.engine == "postgresql" for one in found):
            self.stderr.write("Roles and databases that are not there yet are made with PROVISION_URL set.")
        self.conclude(found)
