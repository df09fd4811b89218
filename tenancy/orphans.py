"""Databases that carry a stamp of ours and that no entry of tenants.yaml leads to.

Looked for where tenants live: in the folders of their files, among the databases of their servers, among the
schemas of databases that several share. With the tenants' own rights, so what they may not see is not found;
read-only, in bounded time, and past Django, for these are nobody's connections.
"""

from __future__ import annotations

import sqlite3
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from django.conf import settings
from psycopg2 import sql

from tenancy import stamp
from tenancy.database_url import MAINTENANCE_DATABASES, identity
from tenancy.exceptions import DatabaseUnavailable
from tenancy.findings import Finding
from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import Registry
from tenancy.tenant import Tenant

#: Seconds for each folder, server and shared database; what is not looked at by then is told.
PATIENCE = 10.0
#: Names in one line.
_MOST_NAMES = 5

# Nothing of a stranger's may be in the path, and nobody is to be waited for.
_OPTIONS = (
    "-c search_path=pg_catalog -c default_transaction_read_only=on -c lock_timeout=500 "
    "-c statement_timeout=2000"
)
_DATABASES = """
    SELECT datname, has_database_privilege(oid, 'CONNECT') FROM pg_database
    WHERE datallowconn AND NOT datistemplate AND datname <> ALL (%s) ORDER BY datname
"""
_STAMPED = """
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND c.relkind = 'r' AND c.relpersistence = 'p' ORDER BY n.nspname
"""
_IS_TABLE = """
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r'
"""

#: Host and port, as an entry writes them.
_Server = tuple[str, ...]


class Orphans:
    """What no entry of a registry leads to. Changes nothing, and asks when it is iterated."""

    def __init__(self, registry: Registry, reached: Iterable[Tenant]) -> None:
        """``reached`` are tenants whose databases could be reached: over one of each server it is asked."""
        self._registry = registry
        #: What entries lead to: files, schemas by server and database.
        self._files: set[str] = set()
        self._databases: defaultdict[_Server, defaultdict[str, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )
        self._note(settings.DATABASES[CONTROL_ALIAS])
        for tenant in registry:
            for url in _urls(tenant):
                self._note(url)
        #: Where to look, and with whose settings.
        self._folders: dict[Path, set[str]] = {}
        self._servers: dict[_Server, Mapping[str, Any]] = {}
        self._shared: dict[tuple[_Server, str], Mapping[str, Any]] = {}
        for tenant in reached:
            self._look_around(tenant)

    def __iter__(self) -> Iterator[Finding]:
        for folder, suffixes in self._folders.items():
            yield from _as_far_as_possible(str(folder), self._in_folder(folder, suffixes))
        for server, url in self._servers.items():
            yield from _as_far_as_possible(":".join(server), self._on_server(server, url))
        for (server, database), url in self._shared.items():
            where = f"database '{database}' on {':'.join(server)}"
            yield from _as_far_as_possible(where, self._in_database(where, server, database, url))

    def _note(self, url: Mapping[str, Any]) -> None:
        kind, *place = identity(url)
        if kind == "sqlite":
            self._files.add(place[0])
        else:
            host, port, database, schema = place
            self._databases[host, port][database].add(schema)

    def _look_around(self, tenant: Tenant) -> None:
        url = tenant.direct or tenant.database  # a pooler calls databases as it likes
        kind, *place = identity(url)
        if kind == "sqlite":
            file = Path(place[0])
            self._folders.setdefault(file.parent, set()).add(file.suffix)
            return
        host, port, database, schema = place
        self._servers.setdefault((host, port), url)
        if schema != "public":
            self._shared.setdefault(((host, port), database), url)

    def _in_folder(self, folder: Path, suffixes: set[str]) -> Iterator[Finding]:
        until = time.monotonic() + PATIENCE
        for file in sorted(folder.iterdir()):
            if file.suffix not in suffixes or str(file.resolve()) in self._files:
                continue
            if time.monotonic() > until:
                yield _unfinished(str(folder))
                return
            owner = _stamp_of_file(file)
            if owner is not None:
                yield self._orphan(f"The file {file}", owner)

    def _on_server(self, server: _Server, url: Mapping[str, Any]) -> Iterator[Finding]:
        where = ":".join(server)
        until = time.monotonic() + PATIENCE
        unreadable = []
        for name, may_connect in _ask(url, url["NAME"], _DATABASES, [sorted(MAINTENANCE_DATABASES)]):
            if name in self._databases[server]:
                continue
            if time.monotonic() > until:
                yield _unfinished(where)
                break
            try:
                stamps = list(_stamps(url, name)) if may_connect else [("", None)]
            except psycopg2.Error:
                stamps = [("", None)]
            for schema, owner in stamps:
                if owner is None:
                    unreadable.append(name)
                else:
                    yield self._orphan(f"{_named(name, schema)} on {where}", owner)
        if unreadable:
            yield _unreadable(f"databases on {where}", unreadable)

    def _in_database(
        self, where: str, server: _Server, database: str, url: Mapping[str, Any]
    ) -> Iterator[Finding]:
        unreadable = []
        for schema, owner in _stamps(url, database, self._databases[server][database]):
            if owner is None:
                unreadable.append(schema)
            else:
                yield self._orphan(f"Schema '{schema}' of {where}", owner)
        if unreadable:
            yield _unreadable(f"schemas of {where}", unreadable)

    def _orphan(self, what: str, owner: str) -> Finding:
        if owner in self._registry:
            return Finding(
                "copy",
                f"{what} is stamped for '{owner}', whose entry leads elsewhere: a copy, or the same server "
                "under another name. Drop a copy that nobody needs.",
                is_warning=True,
            )
        return Finding(
            "orphan",
            f"{what} is stamped for '{owner}', and no entry leads to it. Put the entry back into "
            "tenants.yaml, or save what is still needed and drop it.",
        )


def _urls(tenant: Tenant) -> list[Mapping[str, Any]]:
    try:
        return [url for url in (tenant.database, tenant.direct, tenant.replica) if url]
    except DatabaseUnavailable:
        return []  # whoever looks at that tenant is told


def _named(database: str, schema: str) -> str:
    return f"Database '{database}'" if schema == "public" else f"Schema '{schema}' of database '{database}'"


def _as_far_as_possible(where: str, found: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from found
    except (OSError, psycopg2.Error):
        yield Finding(
            "unfinished",
            f"What is in {where} cannot be listed. See that it is still there, and may be read.",
            is_warning=True,
        )


def _unfinished(where: str) -> Finding:
    return Finding(
        "unfinished",
        f"There is more in {where} than can be looked at in {PATIENCE:g} s; what comes later in the alphabet "
        "was not. Keep other databases elsewhere.",
        is_warning=True,
    )


def _unreadable(what: str, names: list[str]) -> Finding:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return Finding(
        "unreadable",
        f"No entry leads to these {what}, and their stamps may not be read: "
        f"{', '.join(names[:_MOST_NAMES])}{more}. See whose they are.",
        is_warning=True,
    )


def _stamp_of_file(file: Path) -> str | None:
    """None for a file that is no database, or has no stamp."""
    try:
        if not file.is_file():  # to open a pipe would wait for a writer
            return None
        with file.open("rb") as stream:
            if not stream.read(16).startswith(b"SQLite format 3"):
                return None
        # A reader makes the files beside a database that are not there. One that is told that nobody writes
        # does not, and overlooks what they hold.
        is_in_use = all(Path(f"{file}{suffix}").exists() for suffix in ("-wal", "-shm"))
        options = "mode=ro" if is_in_use else "mode=ro&immutable=1"
        uri = f"file:{urllib.parse.quote(str(file))}?{options}"
        with closing(sqlite3.connect(uri, uri=True, timeout=0.5)) as connection:
            query = "SELECT 1 FROM sqlite_master WHERE name = ? AND type = 'table'"
            if connection.execute(query, [stamp.TABLE]).fetchone() is None:
                return None
            row = connection.execute(f"SELECT tenant_id FROM {stamp.TABLE}").fetchone()
    except (OSError, sqlite3.Error):
        return None
    return None if row is None else str(row[0])


def _open(url: Mapping[str, Any], database: str) -> Any:
    return psycopg2.connect(
        dbname=database,
        host=url["HOST"],
        port=url["PORT"] or None,
        user=url["USER"] or None,
        password=url["PASSWORD"] or None,
        application_name="tenants check",
        client_encoding="utf8",
        options=_OPTIONS,
        **url["OPTIONS"],
    )


def _ask(url: Mapping[str, Any], database: str, query: str, values: list[Any]) -> list[Any]:
    with closing(_open(url, database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        rows: list[Any] = cursor.fetchall()
    return rows


def _stamps(
    url: Mapping[str, Any], database: str, known: Iterable[str] = ()
) -> Iterator[tuple[str, str | None]]:
    """The schemas of a database that have a stamp, without those that are known, and whose it is; None where
    that may not be read."""
    until = time.monotonic() + PATIENCE
    with closing(_open(url, database)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(_STAMPED, [stamp.TABLE])
            schemas = [schema for (schema,) in cursor.fetchall() if schema not in known]
        for schema in schemas:
            owner = None
            if time.monotonic() < until:
                try:
                    with connection, connection.cursor() as cursor:
                        owner = _read(cursor, schema)
                except psycopg2.Error:
                    if connection.closed:
                        raise
            yield schema, owner


def _read(cursor: Any, schema: str) -> str | None:
    table = sql.Identifier(schema, stamp.TABLE)
    # Locked, so that it stays the table that it is: a view would run its owner's functions with our rights.
    cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table))
    cursor.execute(_IS_TABLE, [schema, stamp.TABLE])
    if cursor.rowcount != 1:
        return None
    cursor.execute(sql.SQL("SELECT tenant_id FROM ONLY {}").format(table))
    row = cursor.fetchone()
    return None if row is None else str(row[0])
