from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenancy.management.verbs.check import Check
from tenancy.management.verbs.create import Create
from tenancy.management.verbs.history import History
from tenancy.management.verbs.listing import List
from tenancy.management.verbs.migrate import Migrate
from tenancy.management.verbs.provision import Provision
from tenancy.management.verbs.query import Query
from tenancy.management.verbs.running import Run
from tenancy.management.verbs.shell import Shell
from tenancy.management.verbs.verb import Verb

VERBS: tuple[type[Verb], ...] = (Check, Create, History, List, Migrate, Provision, Query, Run, Shell)


class Command(BaseCommand):
    help = "Looks after the tenants of tenants.yaml."
    requires_system_checks = []  # an invalid file is what `check` is for

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = {verb.name: verb(self) for verb in VERBS}

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        """What stands after ``--`` is another command's, and nobody's options here."""
        parser = super().create_parser(*args, **kwargs)
        parse = parser.parse_args

        def parse_args(args: Any = None, namespace: Any = None) -> Any:
            words = list(args or ())
            cut = words.index("--") if "--" in words else len(words)
            found = parse(words[:cut], namespace)
            found.after_dashes = words[cut + 1 :]
            return found

        parser.parse_args = parse_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb in self.verbs.values():
            verb.add_arguments(verbs.add_parser(verb.name, help=verb.help))

    def handle(self, *args: Any, **options: Any) -> None:
        self.verbs[options.pop("verb")].handle(**options)
