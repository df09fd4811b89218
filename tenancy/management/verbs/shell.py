from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandParser

from tenancy.context import tenant_context
from tenancy.management.verbs.verb import Verb


class Shell(Verb):
    name = "shell"
    help = "Django's shell, in one tenant's context."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant")
        parser.add_argument("-c", "--command", dest="code", help="Run this instead, and leave.")

    def handle(self, **options: Any) -> None:
        with tenant_context(options["tenant"]):
            call_command("shell", **({"command": options["code"]} if options["code"] else {}))
