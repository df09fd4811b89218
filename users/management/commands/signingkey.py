from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from users.keys import create_key, load_keys


class Command(BaseCommand):
    help = "Makes a signing key for tokens in JWT_KEYS_DIR, or lists those there are."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        create = verbs.add_parser("create", help="Make a key; it signs from the next start on.")
        create.add_argument("--if-missing", action="store_true", help="Only when there is none yet.")
        verbs.add_parser("list", help="Show the keys' ids and which one signs.")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.JWT_KEYS_DIR)
        if options["verb"] == "list":
            ring = load_keys(folder)
            for kid in sorted(ring.verifying_keys):
                self.stdout.write(f"{kid}{'  signs' if kid == ring.signing_kid else ''}")
        elif not (options["if_missing"] and self.has_key(folder)):
            try:
                kid = create_key(folder)
            except OSError as exc:
                raise CommandError(f"JWT_KEYS_DIR: no key can be made in {folder}: {exc.strerror}") from exc
            self.stdout.write(f"Made signing key {kid}; it signs from the next start on.")

    def has_key(self, folder: Path) -> bool:
        try:
            load_keys(folder)
        except ImproperlyConfigured:
            return False
        return True
