"""The stamp: a one-row table by which a database says whose it is.

File validation cannot see two swapped entries, a restore into the wrong database, or one server spelt
two ways. The stamp does: it is read once per new physical connection, before any of the tenant's
queries runs (so end the sessions before you restore in place). It lies in the tenant's own schema, so a
dump carries it, and nothing ever changes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tenancy.exceptions import DatabaseUnavailable, StampMismatch, TenantMigrating
from tenancy.loader import MigrationKey, is_behind

TABLE = "tenancy_stamp"

logger = logging.getLogger("tenancy.stamp")

CREATE = (
    f"CREATE TABLE {TABLE} ("
    "id integer NOT NULL PRIMARY KEY CHECK (id = 1), "
    "tenant_id varchar(40) NOT NULL, "
    "stamped_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)"
)
INSERT = f"INSERT INTO {TABLE} (id, tenant_id) VALUES (1, %s)"


def read(connection: Any) -> str | None:
    """The tenant id in the stamp, or None where there is no stamp."""
    with connection.cursor() as cursor:
        if TABLE not in connection.introspection.table_names(cursor):
            return None
        cursor.execute(f"SELECT tenant_id FROM {TABLE}")
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def has_schema(connection: Any) -> bool:
    """Whether the schema that the tenant's entry names is there. SQLite has none to name."""
    schema = connection.settings_dict["SCHEMA"]
    if schema is None:
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return bool(cursor.fetchone()[0] == schema)


@dataclass(frozen=True)
class History:
    """What a database says of itself: whose it is, and how far it is migrated."""

    #: The tenants in the stamp: one, or none where the stamp is empty.
    owners: frozenset[str]
    #: The current schema; None where the entry names none.
    schema: str | None
    applied: frozenset[MigrationKey]

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]]) -> History:
        """From the rows of ``history_question``."""
        owners, schema, applied = set(), None, set()
        for first, name, current in rows:
            if current is not None:
                owners.add(first)
                schema = current or None
            elif first and name:
                applied.add((first, name))
        return cls(frozenset(owners), schema, frozenset(applied))


def history_question(connection: Any) -> str:
    """A query for a row of the stamp (its tenant, NULL, the current schema, which is empty where the entry
    names none) and one of each migration that was applied (its app, its name, NULL). The third tells which is
    which, for it is nobody's data. It fails where a table is missing.

    A new session of PostgreSQL looks up in its catalog whatever it meets, and forgets it with the session: a
    join, or ``current_schema()``, a function, would have it look up more.
    """
    current = "CURRENT_SCHEMA" if connection.settings_dict.get("SCHEMA") else "''"
    return (
        f"SELECT tenant_id, NULL, {current} FROM {TABLE}"
        " UNION ALL SELECT app, name, NULL FROM django_migrations"
    )


def shake_hands(connection: Any) -> None:
    """Ask a new connection, in one SELECT, whose it is and how far it is migrated.

    Raises ``TenantMigrating`` when its stamp is empty or it is behind the code, ``StampMismatch`` when it
    is someone else's, ``DatabaseUnavailable`` when another schema is the current one, and the database's
    own error when it could not be asked.
    """
    alias = connection.alias
    schema = connection.settings_dict.get("SCHEMA")
    with connection.cursor() as cursor:
        cursor.execute(connection.opening_words() + history_question(connection))
        history = History.of(cursor.fetchall())
    if not history.owners:
        raise TenantMigrating(alias, "has an empty stamp")
    if history.owners != {alias}:
        logger.critical("The database configured for tenant '%s' is stamped for another.", alias)
        raise StampMismatch(alias)
    if history.schema != schema:
        raise DatabaseUnavailable(alias, f"its schema '{schema}' is not the current one")
    if is_behind(history.applied):
        raise TenantMigrating(alias, "is behind the code")
