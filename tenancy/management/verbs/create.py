from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import Error

from tenancy import entry
from tenancy.audit.trail import operator, try_to_record
from tenancy.entry import Entry, EntryRefused
from tenancy.exceptions import TenancyError, TenantsFileError
from tenancy.fleet import first_line
from tenancy.management.verbs.verb import Verb, pair
from tenancy.planes import CONTROL_ALIAS
from tenancy.provisioning import provision, tenant_created
from tenancy.registry import get_registry, get_source
from tenancy.tenant import Tenant

#: Seconds for this process to read what it wrote: of a large file that takes some.
_PATIENCE = 60.0
_SERVER = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


class Create(Verb):
    name = "create"
    help = "Add a tenant: its entry in tenants.yaml, its database, its owner."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", nargs="?", help="The id: lower-case letters, digits and '-'.")
        parser.add_argument("--name", help="As people read it.")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--url", help="Of its database, as it is to stand in the file.")
        where.add_argument(
            "--server",
            metavar="HOST[:PORT]",
            help="A PostgreSQL server: the database has the tenant's id, and the role ID_app the password "
            "that ID_DB_PASSWORD holds in the environment.",
        )
        parser.add_argument(
            "--label", action="append", default=[], type=pair, metavar="NAME=VALUE", help="May be repeated."
        )
        parser.add_argument("--owner", metavar="E-MAIL", help="Who may do everything in it.")

    def handle(self, **options: Any) -> None:
        tenant_id = options["tenant"] or self._ask("Id (lower-case letters, digits, '-')", "tenant")
        name = options["name"] or self._ask("Name, as people read it", "--name")
        url = options["url"] or self._url(tenant_id, options["server"])
        tenant = self._enter(Entry(tenant_id, name, url, dict(options["label"])))
        try:
            done = provision(tenant, os.environ.get("PROVISION_URL") or None)
        except (TenancyError, Error) as exc:
            raise CommandError(
                f"{first_line(exc)}\nThe entry stands in {Path(settings.TENANTS_FILE).name}: mend it or take "
                f"it out, then run `manage.py tenants provision {tenant.id}`."
            ) from exc
        self.stdout.write(f"{tenant.id}: {', '.join(done) or 'its database was ready'}.")
        if done:
            try_to_record("tenant.provisioned", operator(), tenant_id=tenant.id)
        if options["owner"]:
            self._make_owner(tenant, options["owner"])
        self.stdout.write(f"{tenant.id}: ready.")

    def _url(self, tenant_id: str, server: str | None) -> str:
        if server is None:
            suggestion = f"sqlite:///var/tenants/{tenant_id}.sqlite3"
            return self._ask("URL of its database", "--url or --server", suggestion)
        if not _SERVER.fullmatch(server):
            raise CommandError(f"'{server}' is no HOST[:PORT].", returncode=2)
        word = tenant_id.replace("-", "_")
        return f"postgres://{word}_app:${{{word.upper()}_DB_PASSWORD}}@{server}/{tenant_id}"

    def _enter(self, wanted: Entry) -> Tenant:
        file = Path(settings.TENANTS_FILE)
        try:
            is_new = entry.add(
                file,
                wanted,
                control=settings.DATABASES[CONTROL_ALIAS],
                production=not settings.DEBUG,
                max_bytes=settings.TENANCY_MAX_FILE_BYTES,
            )
        except (EntryRefused, TenantsFileError) as exc:
            raise CommandError(f"{exc}\nNothing was changed.") from exc
        except OSError as exc:
            raise CommandError(f"{file} cannot be written: {exc.strerror}.") from exc
        if is_new:
            self.stdout.write(f"{wanted.id}: added to {file.name}.")
        until = time.monotonic() + _PATIENCE
        while wanted.id not in get_registry() and time.monotonic() < until:
            get_source().refresh()
            time.sleep(0.05)
        return get_registry().get(wanted.id)

    def _make_owner(self, tenant: Tenant, email: str) -> None:
        try:
            answers = tenant_created.send(type(self), tenant=tenant, owner=email)
        except ValidationError as exc:
            raise CommandError(f"'{email}': {' '.join(exc.messages)}") from exc
        for _, line in answers:
            self.stdout.write(f"{tenant.id}: {line}.")

    def _ask(self, what: str, argument: str, suggestion: str = "") -> str:
        if not sys.stdin.isatty():
            raise CommandError(f"Give {argument}; there is no terminal to ask at.", returncode=2)
        prompt = f"{what} [{suggestion}]: " if suggestion else f"{what}: "
        try:
            while not (answer := input(prompt).strip() or suggestion):
                pass
        except EOFError:
            raise CommandError(f"Nothing was entered, and nothing was changed. Give {argument}.") from None
        return answer
