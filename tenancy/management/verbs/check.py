from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error
from django.template.defaultfilters import filesizeformat
from rich.table import Table

from tenancy.console import print_table
from tenancy.doctor import Doctor, Examination, State, examine_control, examine_surroundings
from tenancy.findings import Finding
from tenancy.fleet import Outcome, Result, first_line
from tenancy.log import without_secrets
from tenancy.management.verbs.verb import FleetVerb
from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Tenant

#: Whom lines are about that are about no one tenant. No id has a space in it.
_FLEET = "the fleet"


class Check(FleetVerb):
    name = "check"
    help = "Say whether a tenants.yaml is valid, and open nothing; with --connect, whether the fleet is well."
    timeout = 30.0
    names = "FILE | TENANT"
    names_help = "A file (default: the one in use); with --connect, ids or wildcards (default: all tenants)."
    takes_suspended = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--connect", action="store_true", help="Examine the databases.")
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="For machines, a line for each tenant.")
        parser.add_argument(
            "--skip-grants", action="store_true", help="Do not ask who else may reach the tenants' data."
        )
        self._defaults = {action.dest: action.default for action in parser._actions}

    def handle(self, **options: Any) -> None:
        if options["connect"]:
            _Round(self, options).go()
        else:
            self._refuse_others(options)
            self._read(*options["tenants"])

    def select(self, options: dict[str, Any]) -> tuple[list[Tenant], list[Tenant]]:
        """Suspended ones, too: nobody sees otherwise what becomes of them."""
        everybody = options["all"] or not (options["tenants"] or options["label"])
        chosen = {tenant.id for part in super().select(options | {"all": everybody}) for tenant in part}
        return [tenant for tenant in get_registry() if tenant.id in chosen], []

    def _refuse_others(self, options: dict[str, Any]) -> None:
        if len(options["tenants"]) > 1:
            raise CommandError("Name one file; tenants are examined with --connect.", returncode=2)
        for name in ("all", "label", "exclude", "jobs", "timeout", "fail_fast", "json", "skip_grants"):
            if options[name] != self._defaults[name]:
                raise CommandError(f"--{name.replace('_', '-')} goes with --connect.", returncode=2)

    def _read(self, name: str = "") -> None:
        file = Path(name) if name else Path(settings.TENANTS_FILE)
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


class _Round:
    """One run of the doctor's: lines of JSON as they come, or a table at the end; what is wrong on stderr."""

    def __init__(self, verb: Check, options: dict[str, Any]) -> None:
        self.verb = verb
        self.options = options
        self.registry = get_registry()
        self.registry.require()
        self.doctor = Doctor(self.registry, grants=not options["skip_grants"])
        self.as_json: bool = options["json"]
        self.table = Table(
            "database",
            "connect",
            "trip",
            "stamp",
            "migrations",
            "schema",
            "size",
            "findings",
            box=None,
            pad_edge=False,
        )
        #: What is told of whom, and who has more than warnings.
        self.lines: defaultdict[str, list[str]] = defaultdict(list)
        self.ill: set[str] = set()

    def go(self) -> None:
        # First: a selection that is wrong opens nothing.
        selected, _ = self.verb.select(self.options)
        examined: dict[str, Outcome[Examination]] = {CONTROL_ALIAS: self._control()}
        for outcome in self.verb.each(self.doctor.examine, self.options):
            examined[outcome.tenant.id] = outcome
            self._tell_database(outcome.tenant.id, outcome)
        deviating = self._tell_fleet(examined)
        in_order = [CONTROL_ALIAS, *(tenant.id for tenant in selected)]
        if not self.as_json:
            for name in in_order:
                self._add_row(name, examined[name], is_deviating=name in deviating)
            print_table(self.verb.stdout, self.table)
        for name in (*in_order, _FLEET):
            for line in self.lines[name]:
                self.verb.stderr.write(line)
        if self.ill:
            well = sum(tenant.id not in self.ill for tenant in selected)
            self.verb.stderr.write(f"{well} of {len(selected)} tenants are well.")
            sys.exit(1)

    def _control(self) -> Outcome[Examination]:
        # In an outcome like the tenants', for which it needs a name like theirs.
        control = Tenant(CONTROL_ALIAS, "")
        started = time.monotonic()
        try:
            found = examine_control()
        except Error as exc:
            seconds = time.monotonic() - started
            outcome = Outcome[Examination](control, Result.UNREACHABLE, seconds, error=first_line(exc))
        else:
            outcome = Outcome(control, Result.OK, time.monotonic() - started, found)
        self._tell_database(CONTROL_ALIAS, outcome)
        return outcome

    def _tell_database(self, name: str, outcome: Outcome[Examination]) -> None:
        found = outcome.value
        if found is None:
            self.ill.add(name)
            self.lines[name].append(f"{outcome.result}: {name}: {without_secrets(outcome.error)}")
        for finding in found.findings if found else ():
            self._note(name, finding)
        if self.as_json:
            self._write(_facts(name, outcome))

    def _tell_fleet(self, examined: dict[str, Outcome[Examination]]) -> set[str]:
        """What shows when all are there. Returns whose schema is another than the others'."""
        deviating = set()
        for tenant_id, finding in self.doctor.compare(
            jobs=self.options["jobs"], timeout=self.options["timeout"]
        ):
            deviating.add(tenant_id)
            self._tell(tenant_id, finding)
        if self._is_of_all():
            reached = (o.tenant for o in examined.values() if o.value and o.tenant.id != CONTROL_ALIAS)
            for finding in examine_surroundings(self.registry, reached):
                self._tell(None, finding)
        return deviating

    def _is_of_all(self) -> bool:
        """Whether no tenant was chosen: what is around the fleet is looked at with all of it."""
        return not (self.options["tenants"] or self.options["label"] or self.options["exclude"])

    def _tell(self, tenant_id: str | None, finding: Finding) -> None:
        self._note(tenant_id or _FLEET, finding)
        if self.as_json:
            self._write({"about": "fleet", "tenant": tenant_id, **_as_facts(finding)})

    def _note(self, name: str, finding: Finding) -> None:
        if not finding.is_warning:
            self.ill.add(name)
        self.lines[name].append(f"{_level(finding)}: {name}: {finding.code}: {finding.text}")

    def _add_row(self, name: str, outcome: Outcome[Examination], *, is_deviating: bool) -> None:
        found = outcome.value
        if found is None:
            self.table.add_row(name, *([""] * 6), str(outcome.result))
            return
        self.table.add_row(
            name,
            f"{found.connect_ms:.1f} ms",
            f"{found.trip_ms:.1f} ms",
            str(found.stamp or ""),
            _in_words(found),
            f"{found.fingerprint[:8]}{' differs' if is_deviating else ''}",
            "" if found.size is None else filesizeformat(found.size).replace("\xa0", " "),
            _counted(found, is_deviating=is_deviating),
        )

    def _write(self, facts: dict[str, Any]) -> None:
        self.verb.stdout.write(json.dumps(facts, ensure_ascii=False))


def _facts(name: str, outcome: Outcome[Examination]) -> dict[str, Any]:
    found = outcome.value
    facts: dict[str, Any] = {
        "about": "control" if name == CONTROL_ALIAS else "tenant",
        "tenant": None if name == CONTROL_ALIAS else name,
        "result": _result(outcome),
        "seconds": round(outcome.seconds, 4),
        "error": without_secrets(outcome.error),
    }
    if found is None:
        return facts
    return facts | {
        "connect_ms": round(found.connect_ms, 2),
        "trip_ms": round(found.trip_ms, 2),
        "stamp": found.stamp,
        "migrations": {
            "state": found.migrations.state,
            "missing": list(found.migrations.missing),
            "unknown": list(found.migrations.unknown),
        },
        "fingerprint": found.fingerprint or None,
        "size": found.size,
        "findings": [_as_facts(finding) for finding in found.findings],
    }


def _as_facts(finding: Finding) -> dict[str, str]:
    return {"level": _level(finding), "code": finding.code, "text": finding.text}


def _level(finding: Finding) -> str:
    return "warning" if finding.is_warning else "error"


def _result(outcome: Outcome[Examination]) -> Result:
    """As for every run, but who is ill has failed."""
    if outcome.value is None or outcome.value.is_well:
        return outcome.result
    is_behind = outcome.value.migrations.state in (State.BEHIND, State.EMPTY)
    return Result.BEHIND if is_behind else Result.FAILED


def _counted(found: Examination, *, is_deviating: bool) -> str:
    errors = sum(not finding.is_warning for finding in found.findings) + is_deviating
    counts = {"error": errors, "warning": len(found.findings) + is_deviating - errors}
    return ", ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in counts.items() if n) or "none"


def _in_words(found: Examination) -> str:
    migrations = found.migrations
    match migrations.state:
        case State.UP_TO_DATE:
            return "up to date"
        case State.BEHIND:
            return f"behind by {len(migrations.missing)}"
        case State.AHEAD:
            return f"ahead by {len(migrations.unknown)}"
        case State.EMPTY:
            return "none"
    return ""
