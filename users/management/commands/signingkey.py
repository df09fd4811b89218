from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_duration

from tenancy.audit.models import Severity
from tenancy.audit.trail import operator, try_to_record
from users.keys import Key, KeyInUse, KeyRing, can_sign, create_key, load_keys, may_retire_from, retire_key


class Command(BaseCommand):
    help = "Makes, lists and retires the keys in JWT_KEYS_DIR that sign tokens. No restart is needed."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        create = verbs.add_parser("create", help="Make a key: published at once, it signs a little later.")
        create.add_argument("--if-missing", action="store_true", help="Only when none can sign yet.")
        create.add_argument(
            "--signs-in",
            type=_duration,
            metavar="[HH:]MM:SS",
            help="How long it is published before it signs; the first key signs at once.",
        )
        listing = verbs.add_parser("list", help="Show the keys, which one signs, and which may go.")
        listing.add_argument("--json", action="store_true", help="For machines.")
        retire = verbs.add_parser("retire", help="Take away a key, or all whose tokens are over.")
        retire.add_argument("kid", nargs="?", metavar="KEY")
        retire.add_argument(
            "--now", action="store_true", help="Also if tokens are good that it signed: it leaked."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        verb = getattr(self, options["verb"])
        verb(Path(settings.JWT_KEYS_DIR), **options)

    def create(self, folder: Path, *, if_missing: bool, signs_in: timedelta | None, **options: Any) -> None:
        had_one = can_sign(folder)
        if if_missing and had_one:
            return
        try:
            kid = create_key(folder, signs_in=signs_in)
        except ImproperlyConfigured as exc:
            raise CommandError(f"{exc} Mend or remove it first.") from None
        except OSError as exc:
            raise CommandError(f"JWT_KEYS_DIR: no key can be made in {folder}: {exc.strerror}") from exc
        if had_one:  # else there is no service yet, and perhaps no control plane to tell
            try_to_record("signing_key.created", operator(), tenant_id="", target=kid)
        begins = f"{kid[9:11]}:{kid[11:13]}:{kid[13:15]} UTC"
        self.stdout.write(f"Made signing key {kid} ({settings.JWT_ALGORITHM}); it signs from {begins} on.")

    def list(self, folder: Path, **options: Any) -> None:
        ring = self._ring(folder)
        facts = [self._facts(ring, key) for key in ring.keys]
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        width = max(len(fact["kid"]) for fact in facts)
        for fact in facts:
            self.stdout.write(f"{fact['kid']:<{width}}  {fact['algorithm']}  {self._in_words(fact)}")

    def retire(self, folder: Path, *, kid: str | None, now: bool, **options: Any) -> None:
        ring = self._ring(folder)
        if kid is None and now:
            raise CommandError("--now needs the name of the KEY.", returncode=2)
        if kid is None:
            due = [key.kid for key in ring.keys if self._facts(ring, key)["state"] == "over"]
        else:
            due = [kid]
        for name in due:
            try:
                retire_key(ring, name, at_once=now)
            except KeyError:
                raise CommandError(
                    f"No key for {ring.algorithm.name} is named '{name}'; see `list`."
                ) from None
            except KeyInUse as exc:
                raise CommandError(str(exc)) from None
            except OSError as exc:
                raise CommandError(f"JWT_KEYS_DIR: {name} cannot be removed: {exc.strerror}") from exc
            severity = Severity.WARNING if now else Severity.INFO
            try_to_record("signing_key.retired", operator(), tenant_id="", target=name, severity=severity)
            self.stdout.write(f"Retired {name}.")
        if not due:
            self.stdout.write("No key is over; `signingkey list` says when one will be.")

    def _facts(self, ring: KeyRing, key: Key) -> dict[str, Any]:
        """``state``: ``signs``, ``published`` (will sign), ``verifies`` (has signed, or never could), and
        ``over`` when no good token is left that it signed."""
        now = timezone.now()
        free = may_retire_from(ring, key) if key.signs and key.begins <= now else None
        if key.kid == ring.signing_kid:
            state = "signs"
        elif key.signs and key.begins > now:
            state = "published"
        else:
            state = "over" if free is not None and free <= now else "verifies"
        return {
            "kid": key.kid,
            "algorithm": key.algorithm.name,
            "state": state,
            "signs_from": key.begins.isoformat() if key.signs else None,
            "over_from": free.isoformat() if free is not None else None,
        }

    def _in_words(self, fact: dict[str, Any]) -> str:
        match fact["state"]:
            case "published":
                return f"published; signs from {_moment(fact['signs_from'])}"
            case "signs" if fact["over_from"]:
                over = _moment(fact["over_from"])
                return f"signs; another takes its place, and its last tokens are over at {over}"
            case "verifies" if fact["over_from"]:
                return f"verifies; its last tokens are over at {_moment(fact['over_from'])}"
            case "over":
                return "over; `signingkey retire` takes it away"
        return str(fact["state"])

    def _ring(self, folder: Path) -> KeyRing:
        try:
            return load_keys(folder)
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from None


def _duration(text: str) -> timedelta:
    found = parse_duration(text)
    if found is None or found < timedelta():
        raise ValueError(text)
    return found


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:19]} UTC"
