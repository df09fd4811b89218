"""The stamp: a one-row table by which a database says whose it is.

File validation cannot see two swapped entries, a restore into the wrong database, or one server spelt
two ways. The stamp does: it is read once per new physical connection, before any of the tenant's
queries runs (so end the sessions before you restore in place). It lies in the tenant's own schema, so a
dump carries it, and nothing ever changes it.
"""

from __future__ import annotations

import logging
from typing import Any

from tenancy.exceptions import DatabaseUnavailable, StampMismatch, TenantMigrating
from tenancy.loader import is_behind

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


def history_question(connection: Any) -> str:
    """A query for each migration that was applied: the owner in the stamp, the current schema (NULL where the
    entry names none), the migration's app and name, which are NULL where there was none. No row: the stamp is
    empty. It fails where a table is missing.
    """
    current = "current_schema()" if connection.settings_dict.get("SCHEMA") else "NULL"
    return (
        f"SELECT s.tenant_id, {current}, m.app, m.name FROM {TABLE} s LEFT JOIN django_migrations m ON 1 = 1"
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
        rows = cursor.fetchall()
    if not rows:
        raise TenantMigrating(alias, "has an empty stamp")
    if {row[0] for row in rows} != {alias}:
        logger.critical("The database configured for tenant '%s' is stamped for another.", alias)
        raise StampMismatch(alias)
    if rows[0][1] != schema:
        raise DatabaseUnavailable(alias, f"its schema '{schema}' is not the current one")
    if is_behind(frozenset((app, name) for _, _, app, name in rows if app and name)):
        raise TenantMigrating(alias, "is behind the code")
