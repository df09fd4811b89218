"""The ``--database`` of stock commands, for a project without a default database."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections

from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import get_registry

_SHOWN = 8


def name_the_aliases(aliases: Iterable[str]) -> str:
    names = [alias for alias in aliases if alias != "default"]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Name one with --database: {', '.join(names[:_SHOWN])}{more}."


class AliasCommand(BaseCommand):
    """Mixed into a stock command: an alias must be named, and a wrong one is told in one line."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        for action in parser._actions:
            if action.dest == "database":
                action.default = None
                # argparse would list every alias in its usage error, all thousand of them.
                action.choices = None
                action.help = f'The database to work on: "{CONTROL_ALIAS}", or a tenant\'s id.'

    def execute(self, *args: Any, **options: Any) -> Any:
        alias = options.get("database")
        aliases = [name for name in connections if name != "default"]
        if alias is None:
            raise CommandError(f"No database is named. {name_the_aliases(aliases)}", returncode=2)
        if alias not in aliases:
            get_registry().require()
            close = difflib.get_close_matches(alias, aliases, n=1)
            if close:
                raise CommandError(f"Unknown tenant '{alias}': did you mean '{close[0]}'?")
            raise CommandError(f"Unknown tenant '{alias}'. {name_the_aliases(aliases)}")
        return super().execute(*args, **options)


def require_alias(command: BaseCommand) -> BaseCommand:
    """A stock command whose ``--database`` falls back to "default", as an ``AliasCommand``.

    Some would fail with Django's words for its dummy backend; ``dumpdata`` would write an empty file and
    say that all is well.
    """
    actions = command.create_parser("manage.py", "")._actions
    if any(action.dest == "database" and action.default == DEFAULT_DB_ALIAS for action in actions):
        command.__class__ = type("Command", (AliasCommand, type(command)), {})
    return command
