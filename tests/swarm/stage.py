"""Where the swarm plays: a PostgreSQL, a control plane, twelve tenants, and people who belong to them."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extras import execute_values

from tests import postgres
from tests.swarm import world
from tests.swarm.canaries import canary, owners
from tests.swarm.world import SCHEMAS, SHARED_DATABASE, TENANTS, Fields

if TYPE_CHECKING:
    from users.models import User

PASSWORD = "correct-horse-battery"
#: One person for each tenant, and some who belong to half of them each.
ROAMERS = 4


@dataclass(frozen=True)
class Session:
    """A signed-in person, bound to one tenant."""

    email: str
    tenant_id: str
    #: All the tenants of this person.
    tenants: frozenset[str]
    access: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True)
class Stored:
    """What a tenant's database holds: rows by their key, with their ids."""

    products: dict[str, tuple[str, Fields]]
    categories: dict[str, tuple[str, Fields]]
    #: Canaries of others, in whichever table and column.
    strangers: list[str]


@dataclass(frozen=True)
class Activity:
    """Of the database server: its clients' connections, and those of them in a transaction."""

    connections: int
    transactions: int


class Stage:
    """Made once for a process: Django's settings are."""

    def __init__(self) -> None:
        # Not below the checkout: the path of the server's socket must be short, and have no space in it.
        self.folder = Path(tempfile.mkdtemp(prefix="swarm-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self._base = postgres.start(self.folder / "postgres")
        self._host = self._base.rpartition("@")[2].replace("%2F", "/")
        self._first = TENANTS[0]
        for name in ("control", self._first, SHARED_DATABASE):
            self._execute("postgres", f"CREATE DATABASE {name}")
        for tenant_id in SCHEMAS:
            self._execute(SHARED_DATABASE, f"CREATE SCHEMA {tenant_id}")
        self._write_tenants_file()
        # The servers' settings, and this process's: it migrates, seeds and signs in.
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ},
            "DEBUG": "",
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "SECRET_KEY": "only-for-the-swarm-but-long-enough-for-what-checks-it-0123456789-abcdefgh",
            "ALLOWED_HOSTS": "127.0.0.1",
            "TENANTS_FILE": str(self.folder / "tenants.yaml"),
            "CONTROL_DATABASE_URL": f"{self._base}/control",
            "JWT_KEYS_DIR": str(self.folder / "keys"),
            "JWT_ISSUER": "https://freehold.test",
            "JWT_AUDIENCE": "freehold-swarm",
        }
        os.environ.update(self.environment)
        self._set_up_django()
        self._migrate()
        self._people = self._make_people()
        self._close_connections()

    def seed(self) -> None:
        """Every tenant as ``world`` says, and nothing else."""
        for tenant_id in TENANTS:
            with self.connect(tenant_id) as cursor:
                cursor.execute("TRUNCATE catalog_product, catalog_category")
                execute_values(
                    cursor,
                    "INSERT INTO catalog_category (id, name, description, parent_id) VALUES %s",
                    [(row.id, row.name, *row.fields) for row in world.categories(tenant_id)],
                )
                execute_values(
                    cursor,
                    "INSERT INTO catalog_product (id, sku, name, description, category_id, price,"
                    " currency, stock, is_active, created_at, updated_at) VALUES %s",
                    [(row.id, row.sku, *row.fields) for row in world.products(tenant_id)],
                    "(%s, %s, %s, %s, %s, %s, %s, %s, %s, now(), now())",
                )

    def sessions(self) -> list[list[Session]]:
        """For each person, a session in each of their tenants."""
        from users.families import open_family

        people = []
        for user, tenants in self._people:
            pairs = {tenant_id: open_family(user, tenant_id) for tenant_id in tenants}
            people.append(
                [
                    Session(user.email, tenant_id, frozenset(tenants), pair.access, pair.refresh)
                    for tenant_id, pair in pairs.items()
                ]
            )
        self._close_connections()
        return people

    def stored(self, tenant_id: str) -> Stored:
        """Read past the service, as the server's superuser."""
        with self.connect(tenant_id) as cursor:
            cursor.execute(
                "SELECT sku, id::text, name, description, category_id::text, price::text, currency, stock,"
                " is_active FROM catalog_product"
            )
            products = {row[0]: (row[1], row[2:]) for row in cursor.fetchall()}
            cursor.execute("SELECT name, id::text, description, parent_id::text FROM catalog_category")
            categories = {row[0]: (row[1], row[2:]) for row in cursor.fetchall()}
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace",
                [self._schema(tenant_id)],
            )
            strangers = []
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT t::text FROM {table} t")
                strangers += [
                    f"{table}: {row[0][:200]}" for row in cursor.fetchall() if owners(row[0]) - {tenant_id}
                ]
        return Stored(products, categories, strangers)

    @contextlib.contextmanager
    def watch(self) -> Iterator[Callable[[], Activity]]:
        """Look at the database server's connections, over one that is open before they may be too many."""

        def look() -> Activity:
            cursor.execute(
                "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            return Activity(*cursor.fetchone())

        with self._cursor("postgres") as cursor:
            yield look

    @contextlib.contextmanager
    def connect(self, tenant_id: str) -> Iterator[Any]:
        """A cursor in the tenant's database and schema."""
        database = SHARED_DATABASE if tenant_id in SCHEMAS else tenant_id
        with self._cursor(database) as cursor:
            cursor.execute(f"SET search_path TO {self._schema(tenant_id)}")
            yield cursor

    def _schema(self, tenant_id: str) -> str:
        return tenant_id if tenant_id in SCHEMAS else "public"

    def _execute(self, database: str, sql: str) -> None:
        with self._cursor(database) as cursor:
            cursor.execute(sql)

    @contextlib.contextmanager
    def _cursor(self, database: str) -> Iterator[Any]:
        with contextlib.closing(
            psycopg2.connect(host=self._host, user="postgres", dbname=database)
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor

    def _url(self, tenant_id: str) -> str:
        # One role for all, on purpose: the database server must not be what keeps the tenants apart here.
        if tenant_id in SCHEMAS:
            return f"{self._base}/{SHARED_DATABASE}?currentSchema={tenant_id}"
        return f"{self._base}/{tenant_id}"

    def _write_tenants_file(self) -> None:
        lines = [
            f"  {tenant_id}: {{name: '{canary(tenant_id, 'Limited')}', url: '{self._url(tenant_id)}'}}\n"
            for tenant_id in TENANTS
        ]
        (self.folder / "tenants.yaml").write_text("version: 1\ntenants:\n" + "".join(lines))

    def _set_up_django(self) -> None:
        # Only now: the settings read the environment, and may be read once.
        import django

        from users.keys import create_key

        create_key(self.folder / "keys")
        django.setup()

    def _migrate(self) -> None:
        """The first tenant and those with a schema; the others are clones of the first."""
        from django.core.management import call_command

        from tenancy import stamp

        for alias in ("control", self._first, *SCHEMAS):
            call_command("migrate", database=alias, verbosity=0)
        self._close_connections()
        for tenant_id in TENANTS:
            if tenant_id not in (self._first, *SCHEMAS):
                self._execute("postgres", f"CREATE DATABASE {tenant_id} TEMPLATE {self._first}")
                with self.connect(tenant_id) as cursor:
                    cursor.execute(f"UPDATE {stamp.TABLE} SET tenant_id = %s", [tenant_id])

    def _make_people(self) -> list[tuple[User, tuple[str, ...]]]:
        from django.contrib.auth.hashers import make_password

        from users.models import Membership, Role, User

        belongs = [(tenant_id,) for tenant_id in TENANTS]
        # Each to every second tenant, so that two of them meet everywhere.
        belongs += [TENANTS[number % 2 :: 2] for number in range(ROAMERS)]
        # Hashed once: it takes its time on purpose.
        password = make_password(PASSWORD)
        people = []
        for number, tenants in enumerate(belongs):
            user = User.objects.create(email=f"person{number}@example.com", password=password)
            for tenant_id in tenants:
                Membership.objects.create(user=user, tenant_id=tenant_id, role=Role.MEMBER)
            people.append((user, tenants))
        return people

    def _close_connections(self) -> None:
        from django.db import connections

        connections.close_all()
