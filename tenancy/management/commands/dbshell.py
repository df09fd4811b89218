from __future__ import annotations

import os
from typing import Any

from django.core.management.commands.dbshell import Command as StockCommand
from django.db import connections

from tenancy.management.alias import AliasCommand


class Command(AliasCommand, StockCommand):
    help = "Opens the command-line client of one database: the control plane's, or one tenant's."

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        # SQLite's client would make a missing file, and say nothing.
        connection.ensure_connection()
        connection.close()
        if schema := connection.settings_dict["SCHEMA"]:
            # psql is given no more than where the server is. A tenant may be one schema of several there.
            os.environ["PGOPTIONS"] = f"-c search_path={schema}"
        super().handle(*args, **options)
