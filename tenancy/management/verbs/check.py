from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from tenancy.management.verbs.verb import Verb
from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import Registry


class Check(Verb):
    name = "check"
    help = "Say whether a tenants.yaml is valid, and open nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="Default: the file in use.")

    def handle(self, **options: Any) -> None:
        file = options["file"] or Path(settings.TENANTS_FILE)
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
