from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenancy.fleet import Outcome, Result, run
from tenancy.progress import FleetProgress
from tenancy.registry import get_registry
from tenancy.selection import Selection, SelectionError
from tenancy.tenant import Status, Tenant

T = TypeVar("T")


class Verb:
    """One thing to do with tenants. ``help`` is its line in the list of verbs."""

    name: str
    help: str

    def __init__(self, command: BaseCommand) -> None:
        self.command = command

    @property
    def stdout(self) -> Any:
        return self.command.stdout

    @property
    def stderr(self) -> Any:
        return self.command.stderr

    def add_arguments(self, parser: CommandParser) -> None:
        pass

    def handle(self, **options: Any) -> None:
        raise NotImplementedError


class FleetVerb(Verb):
    """One that works on a selection of tenants, some at a time."""

    #: Seconds for each tenant, unless told; None is no limit.
    timeout: float | None = None
    #: Whether it is for suspended tenants, too: they come back behind, if nobody migrates them.
    takes_suspended = False
    #: How many tenants at a time, unless told.
    jobs = 4
    #: Whether it may end with the first tenant that fails.
    may_fail_fast = True
    #: What the help says of the names.
    names, names_help = "TENANT", "Ids, or wildcards like 'eu-*'."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenants", nargs="*", metavar=self.names, help=self.names_help)
        everybody = "Every tenant." if self.takes_suspended else "Every tenant that is not suspended."
        parser.add_argument("--all", action="store_true", help=everybody)
        parser.add_argument(
            "--label",
            action="append",
            default=[],
            type=pair,
            metavar="NAME=VALUE",
            help="Those that have it; may be given several times.",
        )
        parser.add_argument(
            "--exclude", action="append", default=[], metavar="TENANT", help="But not these (ids, wildcards)."
        )
        parser.add_argument("--jobs", type=count, default=self.jobs, help="Tenants at a time (%(default)s).")
        parser.add_argument(
            "--timeout", type=seconds, default=self.timeout, metavar="SECONDS", help=_for_each(self.timeout)
        )
        if self.may_fail_fast:
            parser.add_argument(
                "--fail-fast", action="store_true", help="Begin no other after one that failed."
            )

    def selection(self, options: dict[str, Any]) -> Selection:
        """What was asked for."""
        return Selection(options["tenants"], options["all"], dict(options["label"]), options["exclude"])

    def select(self, options: dict[str, Any]) -> tuple[list[Tenant], list[Tenant]]:
        """The tenants to work on, and those left out: suspended, and not named."""
        registry = get_registry()
        registry.require()
        try:
            found = self.selection(options).of(registry)
        except SelectionError as exc:
            raise CommandError(str(exc), returncode=2) from exc
        active: list[Tenant] = []
        left_out: list[Tenant] = []
        for tenant in found:
            is_left_out = (
                tenant.status is Status.SUSPENDED
                and not self.takes_suspended
                and tenant.id not in options["tenants"]
            )
            (left_out if is_left_out else active).append(tenant)
        return active, left_out

    def each(self, function: Callable[[Tenant], T], options: dict[str, Any]) -> Iterator[Outcome[T]]:
        """Outcomes as they come, with progress on stderr; suspended tenants are skipped, and last."""
        tenants, left_out = self.select(options)
        outcomes = run(
            function,
            tenants,
            jobs=options["jobs"],
            timeout=options["timeout"],
            fail_fast=options["fail_fast"],
        )
        yield from self.watched(outcomes, len(tenants))
        for tenant in left_out:
            yield Outcome(tenant, Result.SKIPPED, error="suspended")

    def watched(self, outcomes: Iterable[Outcome[T]], total: int) -> Iterator[Outcome[T]]:
        """The same, with progress on stderr."""
        done = 0
        try:
            with FleetProgress(self.stderr, self.name, total) as progress:
                for outcome in outcomes:
                    done += 1
                    progress.step(is_ok=outcome.is_ok)
                    yield outcome
        except KeyboardInterrupt:
            self.stderr.write(
                f"Interrupted: {done} of {total} tenants are done. What runs is waited for; "
                "Ctrl-C again ends it at once."
            )
            raise

    def conclude(self, outcomes: Iterable[Outcome[Any]]) -> None:
        """Name who is not ok on stderr, and exit 1 if that is more than suspended tenants."""
        outcomes = list(outcomes)
        absent = [outcome for outcome in outcomes if not outcome.is_ok]
        not_begun: dict[str, list[str]] = {}
        for outcome in absent:
            if outcome.error.startswith("not begun"):
                not_begun.setdefault(outcome.error, []).append(outcome.tenant.id)
            else:
                self.stderr.write(f"{outcome.result}: {outcome.tenant.id}: {outcome.error}")
        for error, ids in not_begun.items():
            self.stderr.write(f"{Result.SKIPPED}: {some(sorted(ids))}: {error}")
        if any(outcome.result is Result.UNREACHABLE for outcome in absent):
            self.stderr.write("Why a database cannot be reached, `tenants check --connect ID` says.")
        if any(not _is_left_out(outcome) for outcome in absent):
            self.stderr.write(f"{len(outcomes) - len(absent)} of {len(outcomes)} tenants are ok.")
            sys.exit(1)


def _for_each(timeout: float | None) -> str:
    return "For each tenant." if timeout is None else "For each tenant (%(default)s)."


def _is_left_out(outcome: Outcome[Any]) -> bool:
    return outcome.result is Result.SKIPPED and outcome.tenant.status is Status.SUSPENDED


def some(ids: list[str]) -> str:
    """Of very many the first ones."""
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3:,} more" if len(ids) > 3 else "")


def pair(text: str) -> tuple[str, str]:
    """For ``argparse``."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def count(text: str) -> int:
    """For ``argparse``."""
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    """For ``argparse``."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds above zero")
    return found
