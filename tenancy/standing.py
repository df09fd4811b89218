"""How far one tenant's database is migrated, asked in one query where all is as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import Error
from django.db.migrations.recorder import MigrationRecorder

from tenancy import stamp
from tenancy.backends.faults import Fault, classify
from tenancy.loader import MigrationKey
from tenancy.lock import DatabaseLock
from tenancy.schema import needs_stamp


@dataclass(frozen=True)
class Standing:
    """The migrations that a database has had. One without a stamp is empty: its first migration stamps it."""

    applied: frozenset[MigrationKey]
    is_stamped: bool = True
    #: There is no table at all.
    is_bare: bool = False


def read_standing(connection: Any, lock: DatabaseLock | None = None) -> Standing:
    """Changes nothing; takes the lock, if one is given. Raises ``StampMismatch`` for a database that is
    someone else's, ``UnstampedDatabase`` for one with tables and no stamp, ``SchemaMissing``, and the
    database's own errors."""
    question = stamp.history_question(connection)
    try:
        if lock is not None:
            history = stamp.History.of(lock.acquire(question))
        else:
            with connection.cursor() as cursor:
                cursor.execute(question)
                history = stamp.History.of(cursor.fetchall())
    except Error as exc:
        if classify(exc) is not Fault.MIGRATING:
            raise
        # A table is missing: it is new, or not ours.
        if _is_bare(connection):
            return Standing(frozenset(), is_stamped=False, is_bare=True)
        is_stamped = not needs_stamp(connection)
        return Standing(frozenset(MigrationRecorder(connection).applied_migrations()), is_stamped)
    if history.owners != {connection.alias} or history.schema != connection.settings_dict["SCHEMA"]:
        needs_stamp(connection)  # raises, in words of its own
    return Standing(history.applied)


def _is_bare(connection: Any) -> bool:
    """Whether nothing is there. One short query: a new session of PostgreSQL reads its catalogue anew, and
    for Django's description of all tables it reads a lot of it."""
    if connection.vendor == "sqlite":
        schema = None
        sql = "SELECT NULL, count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite|_%' ESCAPE '|'"
    else:
        schema = connection.settings_dict["SCHEMA"]
        sql = (
            "SELECT current_schema(), count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND relnamespace = to_regnamespace(quote_ident(current_schema()))"
        )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found = cursor.fetchone()
    return tuple(found) == (schema, 0)
