from __future__ import annotations

from django.core.management.commands.showmigrations import Command as StockCommand

from tenancy.management.alias import AliasCommand


class Command(AliasCommand, StockCommand):
    help = "Shows the migrations of one database: the control plane's, or one tenant's."
