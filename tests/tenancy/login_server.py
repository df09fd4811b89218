"""A PostgreSQL server whose roles have to sign in, and tenants on it.

The other tests' server trusts everybody; and roles belong to a whole server.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from django.test import override_settings

from tenancy.address import completed
from tenancy.database_url import parse_database_url
from tenancy.registry import Registry
from tenancy.tenant import Tenant
from tests import postgres

#: '%' and ':' as URLs spell them, letters that libpq prepares ('ﬁ' becomes 'fi') and one that it cannot.
PASSWORD = "pa%:ss ﬁ\u00e9\ufe00-of-"


def parsed(url):
    return completed(parse_database_url(url, folder=Path("/nowhere"), environ={}, placeholders=False))


@contextmanager
def registered(*tenants):
    with override_settings(TENANCY_REGISTRY=Registry({tenant.id: tenant for tenant in tenants})):
        yield


class Server:
    """A server on which only the superuser is trusted."""

    def __init__(self, base_url, log):
        self.base_url = base_url
        self.superuser_url = f"{base_url}/postgres"
        self.host = parsed(f"{base_url}/any")["HOST"]
        self.log = log

    def run(self, database, statements, tenant=None):
        """As a superuser, or as the tenant's role with its password. Returns what the last statement did."""
        user = tenant.database["USER"] if tenant else "postgres"
        password = tenant.database["PASSWORD"] if tenant else None
        connection = psycopg2.connect(dbname=database, host=self.host, user=user, password=password)
        with closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statements)
                return cursor.fetchall() if cursor.description else None

    def tenant(self, tenant_id, database=None, *, schema="public", user=None, **more):
        user = f"{tenant_id}_app" if user is None else user
        secret = f"{quote(user)}:{quote(PASSWORD + tenant_id, safe='')}@"
        authority = self.base_url.replace("postgres@", secret)
        url = f"{authority}/{database or tenant_id}?currentSchema={schema}"
        return Tenant(tenant_id, tenant_id.title(), database=parsed(url), **more)

    def clone(self, database, template):
        self.run("postgres", f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")

    def clean(self):
        for (name,) in self.run(
            "postgres",
            "SELECT datname FROM pg_database WHERE datallowconn AND datname !~ '^(postgres|template)'",
        ):
            self.run("postgres", f"DROP DATABASE {name} WITH (FORCE)")
        for (name,) in self.run(
            "postgres", "SELECT rolname FROM pg_roles WHERE rolname !~ '^(postgres|pg_)'"
        ):
            self.run("postgres", f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


@pytest.fixture(scope="module")
def running_server():
    folder = postgres.new_folder()
    base_url = postgres.start(folder / "postgres")
    (folder / "postgres" / "pg_hba.conf").write_text(
        "local all postgres trust\nlocal all all scram-sha-256\n"
    )
    server = Server(base_url, folder / "postgres" / "log")
    server.run("postgres", "ALTER SYSTEM SET log_statement = 'all'")
    server.run("postgres", "SELECT pg_reload_conf()")
    return server
