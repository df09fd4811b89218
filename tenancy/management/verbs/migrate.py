from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.table import Table

from tenancy.console import print_table
from tenancy.fleet import Outcome, Result, run
from tenancy.ledger.journal import Journal, RunLocked
from tenancy.ledger.models import Run
from tenancy.loader import MigrationKey, PlaneMigrationLoader
from tenancy.management.verbs.recorded import Tell, recorded
from tenancy.management.verbs.verb import FleetVerb, count, seconds, some
from tenancy.planes import Plane
from tenancy.progress import FleetProgress
from tenancy.rollout import Rollout
from tenancy.route import NoRoute, Route, Target
from tenancy.standing import Standing
from tenancy.tenant import Tenant
from tenancy.upgrade import Upgrade, Upgraded, Way

Look = tuple[Standing, Route | None]

_LOST = "another run took this one for crashed"


class Migrate(FleetVerb):
    name = "migrate"
    help = "Bring the schema of each tenant to where the code is."
    takes_suspended = True

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--to", default="", metavar="APP[.MIGRATION]", help="As catalog, catalog.0002 or catalog.zero."
        )
        parser.add_argument("--plan", action="store_true", help="Show what would be done where, and stop.")
        parser.add_argument(
            "--check", action="store_true", help="Change nothing; exit 1 if a tenant is not up to date."
        )
        parser.add_argument(
            "--canary",
            default="0",
            metavar="N|TENANT",
            help="How many tenants, or which (with commas), have to go well before the rest (%(default)s).",
        )
        parser.add_argument("--wave", type=count, metavar="N", help="Tenants to be done before the next N.")
        parser.add_argument(
            "--max-failures", type=_number, metavar="N", help="Begin no other when more than N have failed."
        )
        parser.add_argument(
            "--lock-timeout", type=seconds, default=5.0, metavar="SECONDS",
            help="To wait for a table that is in use, before the tenant is tried again later (%(default)s).",
        )  # fmt: skip
        parser.add_argument(
            "--retries",
            type=_number,
            default=3,
            metavar="N",
            help="Tries more for a busy tenant (%(default)s).",
        )
        parser.add_argument(
            "--no-replay", action="store_true", help="Run Django's operations anew for each database."
        )
        parser.add_argument("--json", action="store_true", help="For machines, a line for each tenant.")

    def handle(self, **options: Any) -> None:
        target = _target(options["to"])
        upgrade = Upgrade(target, replay=not options["no_replay"], lock_timeout=options["lock_timeout"])
        tenants, _ = self.select(options)
        if options["plan"] or options["check"]:
            self._plan(upgrade, tenants, options)
        else:
            self._migrate(upgrade, tenants, options)

    # What would be done.

    def _plan(self, upgrade: Upgrade, tenants: list[Tenant], options: dict[str, Any]) -> None:
        found: list[Outcome[Look]] = []
        looks = run(
            lambda tenant: upgrade.look(tenant.id), tenants, jobs=options["jobs"], timeout=options["timeout"]
        )
        with FleetProgress(self.stderr, "plan", len(tenants)) as progress:
            for outcome in looks:
                progress.step(is_ok=outcome.is_ok)
                found.append(outcome)
        place = {tenant.id: number for number, tenant in enumerate(tenants)}
        found.sort(key=lambda outcome: place[outcome.tenant.id])
        if options["json"]:
            for outcome in found:
                self.stdout.write(json.dumps(_plan_facts(outcome)))
        elif options["plan"]:
            self._show_plan(found)
        for outcome in found:
            if not outcome.is_ok:
                self.stderr.write(f"{outcome.result}: {outcome.tenant.id}: {outcome.error}")
        behind = sum(outcome.value is not None and _is_behind(outcome.value) for outcome in found)
        absent = sum(not outcome.is_ok for outcome in found)
        if options["check"] and (behind or absent):
            self.stderr.write(f"{len(found) - behind - absent} of {len(found)} tenants are up to date.")
        if absent or (options["check"] and behind):
            sys.exit(1)

    def _show_plan(self, found: Iterable[Outcome[Look]]) -> None:
        groups: dict[tuple[str, str], list[str]] = {}
        for outcome in found:
            groups.setdefault(_group(outcome), []).append(outcome.tenant.id)
        table = Table("tenants", "state", "what is to be done", "which", box=None, pad_edge=False)
        for (state, steps), ids in sorted(groups.items(), key=lambda item: -len(item[1])):
            table.add_row(f"{len(ids):,}", state, steps, some(ids))
        print_table(self.stdout, table)

    # Doing it.

    def _migrate(self, upgrade: Upgrade, tenants: list[Tenant], options: dict[str, Any]) -> None:
        rollout = Rollout(
            upgrade,
            tenants,
            jobs=options["jobs"],
            timeout=options["timeout"],
            canaries=_canaries(options["canary"], tenants),
            wave=options["wave"],
            limit=0 if options["fail_fast"] else options["max_failures"],
            retries=options["retries"],
        )
        journal = Journal(
            "migrate",
            options["to"],
            len(tenants),
            lambda: rollout.gate.halt("another run took this one for crashed"),
        )
        found: list[Outcome[Upgraded]] = []
        try:
            with journal, recorded("tenant.migrated", options["to"]) as tell:
                for outcome in self._noted(rollout, journal, tell, len(tenants)):
                    if options["json"]:
                        self.stdout.write(json.dumps(_facts(outcome)))
                    found.append(outcome)
                journal.outcome = _outcome_of(rollout, found)
        except RunLocked as exc:
            raise CommandError(str(exc)) from exc
        if not options["json"]:
            self._show(found)
        if rollout.gate.reason:
            self.stderr.write(
                f"Stopped: {rollout.gate.reason}. Mend it, and run the same again: it goes on from here."
            )
        self.conclude(found)

    def _noted(
        self, rollout: Rollout, journal: Journal, tell: Tell, total: int
    ) -> Iterator[Outcome[Upgraded]]:
        done = 0
        try:
            with FleetProgress(self.stderr, self.name, total) as progress:
                for outcome in rollout.outcomes():
                    done += 1
                    progress.step(is_ok=outcome.is_ok)
                    note(journal, tell, outcome)
                    yield outcome
        except KeyboardInterrupt:
            for outcome in rollout.unreported.values():
                done += 1
                note(journal, tell, outcome)
            self.stderr.write(
                f"Interrupted: {done} of {total} tenants are done. Run the same again to go on."
            )
            raise

    def _show(self, found: list[Outcome[Upgraded]]) -> None:
        counts = Counter(_word(outcome) for outcome in found)
        for word, number in counts.most_common():
            self.stdout.write(f"{number:>6,} {word}")
        for outcome in found:
            if outcome.value is not None and outcome.value.route.unknown:
                unknown = _keys(outcome.value.route.unknown)
                self.stderr.write(f"ahead: {outcome.tenant.id}: the code does not know {unknown}.")


def _word(outcome: Outcome[Upgraded]) -> str:
    done = outcome.value
    if done is None:
        return outcome.result
    if done.way is Way.NONE:
        return "ahead of the code" if done.route.unknown else "up to date"
    return "migrated"


def _target(text: str) -> Target:
    app_label, _, migration = text.partition(".")
    target = Target(app_label or None, migration or None)
    try:
        target.resolve(PlaneMigrationLoader(None, plane=Plane.TENANT))
    except NoRoute as exc:
        raise CommandError(str(exc), returncode=2) from exc
    return target


def _canaries(text: str, tenants: Iterable[Tenant]) -> int | list[str]:
    if text.isascii() and text.isdigit() and len(text) < 8:
        return int(text)
    ids = [part.strip() for part in text.split(",") if part.strip()]
    if unknown := set(ids) - {tenant.id for tenant in tenants}:
        raise CommandError(f"The canary '{min(unknown)}' is not among the chosen tenants.", returncode=2)
    return ids


def _group(outcome: Outcome[Look]) -> tuple[str, str]:
    if outcome.value is None:
        return outcome.result, outcome.error.partition(":")[0]
    standing, route = outcome.value
    if route is None:
        return "new", "everything; its file is not there yet"
    if not route:
        return ("ahead", _keys(route.unknown)) if route.unknown else ("up to date", "")
    steps = some([str(step) for step in route.steps]) or f"record {_keys(route.replacements)}"
    return ("behind" if standing.is_stamped else "new"), steps


def _is_behind(look: Look) -> bool:
    _, route = look
    return route is None or bool(route)


def _keys(keys: Iterable[MigrationKey]) -> str:
    return ", ".join(f"{app}.{name}" for app, name in keys)


@lru_cache(maxsize=64)  # a fleet stands in few places, and each tenant's entry names two
def _heads(applied: frozenset[MigrationKey]) -> str:
    """The last migration of each app, by name."""
    last: dict[str, str] = {}
    for app, name in applied:
        last[app] = max(name, last.get(app, ""))
    return ", ".join(f"{app}.{name}" for app, name in sorted(last.items()))


def _plan_facts(outcome: Outcome[Look]) -> dict[str, Any]:
    state, _ = _group(outcome)
    route = outcome.value[1] if outcome.value is not None else None
    return {
        "tenant": outcome.tenant.id,
        "state": state,
        "steps": [str(step) for step in route.steps] if route is not None else [],
        "seconds": round(outcome.seconds, 4),
        "error": outcome.error,
    }


def _facts(outcome: Outcome[Upgraded]) -> dict[str, Any]:
    done = outcome.value
    return {
        "tenant": outcome.tenant.id,
        "result": outcome.result,
        "way": done.way if done is not None else "",
        "steps": [str(step) for step in done.steps] if done is not None else [],
        "seconds": round(outcome.seconds, 4),
        "error": outcome.error,
    }


def note(journal: Journal, tell: Tell, outcome: Outcome[Upgraded]) -> None:
    """Into the ledger and the audit trail, if something was done or went wrong."""
    done = outcome.value
    if outcome.result is Result.SKIPPED or (done is not None and done.way is Way.NONE):
        return
    journal.note(
        tenant_id=outcome.tenant.id,
        result=outcome.result,
        way=done.way if done is not None else "",
        before=_heads(done.before.applied) if done is not None else "",
        after=_heads(done.route.goal) if done is not None else "",
        seconds=outcome.seconds,
        error=outcome.error,
    )
    tell(outcome)


def _outcome_of(rollout: Rollout, found: Iterable[Outcome[Upgraded]]) -> str:
    if rollout.gate.reason:
        return Run.Outcome.STOPPED
    return Run.Outcome.OK if all(outcome.is_ok for outcome in found) else Run.Outcome.FAILED


def _number(text: str) -> int:
    return 0 if text == "0" else count(text)
