"""Whoever may make databases and roles on a tenant's PostgreSQL server. Named by a URL that is never kept."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from tenancy.backends.postgresql.base import LIMITS
from tenancy.database_url import MAINTENANCE_DATABASES, parse_database_url
from tenancy.exceptions import DatabaseURLError, NotHardened
from tenancy.tenant import Tenant

_URL_OF_A_SERVER = re.compile(
    rf"([a-z]+://[^/?#]*)/?(?:{'|'.join(sorted(MAINTENANCE_DATABASES))})?(\?[^#]*)?"
)


class Superuser:
    """Opens connections on the tenant's server. Raises ``NotHardened`` for a URL that is none."""

    def __init__(self, tenant: Tenant, url: str) -> None:
        self.tenant = tenant
        #: As Django has them; the database is the tenant's, whatever the URL names.
        self.settings = _parse(tenant, url)

    def connect(self) -> Any:
        """To the tenant's database. Raises ``NotHardened`` with the reason."""
        database = str(self.tenant.database["NAME"])
        try:
            return self.open(database)
        except psycopg2.OperationalError as exc:
            # The driver gives no code for a connection that failed, and its wording is the server's language.
            reason = "the superuser's URL leads to no server, or is not let in; check it"
            if self._lacks(database):
                reason = (
                    f"its database is not there; make it with `manage.py tenants provision {self.tenant.id}`"
                )
            raise NotHardened(self.tenant.id, reason) from exc

    def open(self, database: str) -> Any:
        # Nothing of the tenant's may be in a superuser's path: its functions would run with the superuser's
        # rights. And nobody is to queue long behind a table that waits for its new owner.
        options = f"-c search_path=pg_catalog -c lock_timeout={LIMITS['lock_timeout']}"
        return psycopg2.connect(
            dbname=database,
            host=self.settings["HOST"],
            port=self.settings["PORT"] or None,
            user=self.settings["USER"] or None,
            password=self.settings["PASSWORD"] or None,
            client_encoding="utf8",
            options=options,
            **self.settings["OPTIONS"],
        )

    @contextmanager
    def server(self) -> Iterator[Any]:
        """A cursor without a transaction, in which databases can be made. Raises ``NotHardened``."""
        try:
            connection = self.open("postgres")
        except psycopg2.OperationalError as exc:
            raise NotHardened(
                self.tenant.id, "the superuser's URL leads to no server, or is not let in; check it"
            ) from exc
        with closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
                if cursor.fetchone() != (True,):
                    raise NotHardened(
                        self.tenant.id, "the superuser's URL leads to a role that is none; name one"
                    )
                yield cursor

    def _lacks(self, database: str) -> bool:
        try:
            with self.server() as cursor:
                cursor.execute("SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = %s)", [database])
                return bool(cursor.fetchone()[0])
        except NotHardened:
            return False


def _parse(tenant: Tenant, url: str) -> dict[str, Any]:
    if match := _URL_OF_A_SERVER.fullmatch(url):
        # 'postgres' is a superuser's usual database, and no tenant's.
        url = f"{match[1]}/{urllib.parse.quote(tenant.database['NAME'], safe='')}{match[2] or ''}"
    try:
        found = parse_database_url(url, folder=Path(), environ={}, placeholders=False)
    except DatabaseURLError as exc:
        raise NotHardened(tenant.id, f"the superuser's URL holds {exc}") from None
    if not found["ENGINE"].endswith("postgresql"):
        raise NotHardened(tenant.id, "the superuser's URL is for another engine; name the PostgreSQL server")
    return found
