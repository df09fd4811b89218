"""Where ``manage.py`` begins: what goes wrong before a command runs is one line, not a traceback."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand
from django.db import Error

from tenancy.backends.faults import Fault, classify
from tenancy.exceptions import DatabaseFault, NoDefaultDatabase, NoTenant, TenancyError, WrongTenant


class Utility(ManagementUtility):
    """Django's, but a command that would work on the alias "default" asks for one that exists."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        command: BaseCommand = super().fetch_command(subcommand)
        # Late: commands need the settings that the line above loads.
        from tenancy.management.alias import require_alias

        return require_alias(command)


def execute(argv: list[str]) -> None:
    """Run a management command. Exits 1 on bad data, 2 on wrong usage, 130 when interrupted."""
    try:
        try:
            Utility(argv).execute()
        finally:
            sys.stdout.flush()  # here a reader that left is an error; when Python exits, it is noise
    except NoDefaultDatabase as exc:
        from django.conf import settings

        from tenancy.management.alias import name_the_aliases

        sys.stderr.write(f"error: {exc} {name_the_aliases(settings.DATABASES)}\n")
        sys.exit(2)
    except ImproperlyConfigured as exc:
        sys.exit(f"error: {exc}")
    except DatabaseFault as exc:
        sys.exit(f"error: {exc}{_reason(exc)}")
    except TenancyError as exc:
        if isinstance(exc, NoTenant | WrongTenant):
            from tenancy.audit.observers import note_breach

            note_breach(exc)
        sys.exit(f"error: {exc}")
    except Error as exc:
        alias = getattr(exc, "alias", None)
        if alias is None or classify(exc) is not Fault.MIGRATING:
            raise
        sys.exit(
            f"error: The database of '{alias}' is behind the code. "
            f"Run `manage.py migrate --database {alias}`."
        )
    except BrokenPipeError:
        # The reader of a pipe (head, less) left. What stdout still holds goes nowhere when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _reason(exc: BaseException) -> str:
    """The driver's first line, which names a server for the operator but never a password."""
    lines = str(exc.__cause__).strip().splitlines() if exc.__cause__ else []
    return f" ({lines[0]})" if lines else ""
