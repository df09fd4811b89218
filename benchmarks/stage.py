"""Where variants play: one PostgreSQL, and in it what each of them needs. Made on demand, for one run."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2

from tests import postgres
from users.keys import create_key

ROOT = Path(__file__).resolve().parents[1]
#: Connections that the server takes: more than the largest budget of a run.
MAX_CONNECTIONS = 400
#: Tenants that exist, in variants that have some. Requests go round some of them.
TENANTS = 50
#: Tenants of the traffic by Zipf's law, as schemas of so many databases.
CROWD, CROWD_DATABASES = 1_000, 4
#: Kinds of databases that Freehold itself makes.
OURS = ("ours", "crowd", "second")


@dataclass(frozen=True)
class Guest:
    """A tenant, and a token of somebody who belongs to it."""

    tenant_id: str
    token: str
    #: The host name that the tenant is served under; only some variants ask for it.
    host: str
    #: Where its rows are.
    database: str
    schema: str = "public"


def crowd_id(number: int) -> str:
    return f"z{number:05}"


def tenant_id(number: int) -> str:
    return f"t{number:05}"


class Stage:
    def __init__(self) -> None:
        # Not below the checkout: the path of the server's socket must be short, and have no space in it.
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.base = postgres.start(self.folder / "postgres", max_connections=MAX_CONNECTIONS)
        self.host = self.base.rpartition("@")[2].replace("%2F", "/")
        # It would run in one variant's turn, and not in another's.
        self.execute("postgres", "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
        # This process has no settings: only those that it starts have.
        create_key(self.folder / "keys", signs_in=timedelta(), algorithm="RS256")
        (self.folder / "static").mkdir()
        self._prepared: dict[str, list[Guest]] = {}

    def guests(self, kind: str) -> list[Guest]:
        """The tenants of a kind of variant, prepared when first asked for (see ``benchmarks.prepare``)."""
        if kind not in self._prepared:
            self._prepared[kind] = self.prepare(kind)
        return self._prepared[kind]

    def prepare(self, kind: str, **more: str) -> list[Guest]:
        file = self.folder / f"{kind}.json"
        if kind in OURS[1:]:
            self.guests(OURS[0])  # makes the control plane
        if kind == "naive":
            self.guests("single")
            more["BENCH_TENANTS"] = str(TENANTS)
        module = "benchmarks.freehold" if kind in OURS else f"benchmarks.comparators.{kind}"
        if kind in OURS and "TENANTS_FILE" not in more:
            more["TENANTS_FILE"] = str(self.tenants_file("crowd" if kind == "crowd" else TENANTS))
        subprocess.run(
            [sys.executable, "-m", "benchmarks.prepare", kind, str(file)],
            env=self.environment(module, **more),
            cwd=ROOT,
            check=True,
        )
        return [Guest(**entry) for entry in json.loads(file.read_text())]

    def environment(self, settings: str, **more: str) -> dict[str, str]:
        """The environment of a process with these settings."""
        return {
            **{name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ},
            "DEBUG": "",
            "DJANGO_SETTINGS_MODULE": settings,
            "SECRET_KEY": "only-for-the-benchmarks-but-long-enough-for-what-checks-it-0123456789-abcd",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "CONTROL_DATABASE_URL": f"{self.base}/control",
            "JWT_KEYS_DIR": str(self.folder / "keys"),
            "JWT_ISSUER": "https://freehold.test",
            "JWT_AUDIENCE": "freehold-benchmarks",
            "BENCH_HOST": self.host,
            "BENCH_BASE": self.base,
            "BENCH_STATIC": str(self.folder / "static"),
            **more,
        }

    def tenants_file(self, count: int | str, **urls: str) -> Path:
        """A tenants.yaml with so many tenants; all but the first fifty have no database. ``"crowd"`` has
        those of the traffic by Zipf's law. ``urls`` replaces those of some tenants."""
        if count == "crowd":
            places = {crowd_id(n): self._crowd_url(n) for n in range(CROWD)}
        else:
            places = {tenant_id(n): f"{self.base}/{tenant_id(n)}" for n in range(int(count))}
        lines = [
            f"  {name}: {{name: 'Tenant {name}', url: '{url}'}}\n" for name, url in (places | urls).items()
        ]
        folder = self.folder / "-".join(["tenants", str(count), *urls])
        folder.mkdir(exist_ok=True)
        file = folder / "tenants.yaml"
        file.write_text("version: 1\ntenants:\n" + "".join(lines))
        return file

    def _crowd_url(self, number: int) -> str:
        database, schema = crowd_place(number)
        return f"{self.base}/{database}?currentSchema={schema}"

    @contextlib.contextmanager
    def cursor(self, database: str) -> Iterator[Any]:
        with cursor(self.host, database) as found:
            yield found

    def execute(self, database: str, *statements: str) -> None:
        with self.cursor(database) as found:
            for statement in statements:
                found.execute(statement)


def crowd_place(number: int) -> tuple[str, str]:
    """The database and the schema of a tenant of the crowd."""
    share = CROWD // CROWD_DATABASES
    return f"crowd{number // share}", f"s{number % share:03}"


def sessions(found: Any, pattern: str = "%") -> int:
    """How many connections the databases whose names are like ``pattern`` have seen, as far as the server has
    counted: it does when they end, or within a second. Asked over a cursor that is open already, for there
    may be no room for another."""
    found.execute(
        "SELECT coalesce(sum(sessions), 0) FROM pg_stat_database"
        " WHERE datname LIKE %s AND datname <> 'postgres'",
        [pattern],
    )
    return int(found.fetchone()[0])


@contextlib.contextmanager
def cursor(host: str, database: str) -> Iterator[Any]:
    with contextlib.closing(psycopg2.connect(host=host, user="postgres", dbname=database)) as connection:
        connection.autocommit = True
        with connection.cursor() as found:
            yield found
