from __future__ import annotations

import io
import json
from typing import Any

from django.core.management import BaseCommand, CommandError, call_command, get_commands, load_command_class
from django.core.management.base import CommandParser

from tenancy.exceptions import TenancyError
from tenancy.fleet import Outcome
from tenancy.management.verbs.verb import FleetVerb
from tenancy.tenant import Tenant


class CommandFailed(TenancyError):
    """The command that ran for a tenant ended with a status that is not 0, or an error of its own."""


class Run(FleetVerb):
    name = "run"
    help = "Run a management command for each tenant: tenants run --all -- dumpdata catalog"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.epilog = "What stands after -- is the command: tenants run --all -- dumpdata catalog"
        parser.add_argument("--json", action="store_true", help="For machines, a line for each tenant.")

    def handle(self, **options: Any) -> None:
        words = options["after_dashes"]
        if not words:
            raise CommandError(
                "Put the command after '--': tenants run --all -- dumpdata catalog", returncode=2
            )
        command = _load(words[0])
        takes_database = _takes_database(command)
        if takes_database and any(word == "--database" or word.startswith("--database=") for word in words):
            raise CommandError("Leave --database out: each tenant's is given.", returncode=2)

        def work(tenant: Tenant) -> str:
            return _call(words, {"database": tenant.id} if takes_database else {})

        found: list[Outcome[str]] = []
        for outcome in self.each(work, options):
            self._show(outcome, as_json=options["json"])
            # What was printed is not kept: of ten thousand tenants that is a lot.
            found.append(Outcome(outcome.tenant, outcome.result, outcome.seconds, None, outcome.error))
        self.conclude(found)

    def _show(self, outcome: Outcome[str], *, as_json: bool) -> None:
        if as_json:
            facts = {
                "tenant": outcome.tenant.id,
                "result": outcome.result,
                "seconds": round(outcome.seconds, 4),
                "error": outcome.error,
                "output": outcome.value or "",
            }
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
            return
        self.stdout.write(f"{outcome.tenant.id}: {outcome.result} ({outcome.seconds:.2f} s)")
        for line in (outcome.value or "").splitlines():
            self.stdout.write(f"    {line}")


def _load(name: str) -> BaseCommand:
    app = get_commands().get(name)
    if app is None:
        raise CommandError(f"Unknown command: '{name}'; `manage.py help` lists what there is.", returncode=2)
    return app if isinstance(app, BaseCommand) else load_command_class(app, name)


def _takes_database(command: BaseCommand) -> bool:
    return any(action.dest == "database" for action in command.create_parser("manage.py", "")._actions)


def _call(words: list[str], more: dict[str, Any]) -> str:
    """What it printed to its own stdout and stderr. Raises ``CommandFailed`` with its last line."""
    output = io.StringIO()
    name, *arguments = words
    try:
        call_command(name, *arguments, stdout=output, stderr=output, no_color=True, **more)
    except SystemExit as exc:
        if exc.code:
            reason = exc.code if isinstance(exc.code, str) else _last_line(output)
            raise CommandFailed(reason or f"it ended with status {exc.code}") from exc
    except CommandError as exc:
        raise CommandFailed(str(exc)) from exc
    return output.getvalue()


def _last_line(output: io.StringIO) -> str:
    return next(reversed(output.getvalue().strip().splitlines()), "")
