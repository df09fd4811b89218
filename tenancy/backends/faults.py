"""What kind of trouble a database error is, told by codes and never by wording."""

from __future__ import annotations

import enum
import sqlite3
from typing import Any

from django.db import DataError, Error, IntegrityError, InterfaceError, OperationalError

from tenancy import exceptions


class Fault(enum.Enum):
    """How to answer a database error: later, soon, after a migration, or never like this."""

    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    MIGRATING = "migrating"
    READ_ONLY = "read only"
    CONFLICT = "conflict"
    BAD_VALUE = "bad value"
    UNKNOWN = "unknown"


# https://www.postgresql.org/docs/current/errcodes-appendix.html, by whole code, then by class.
_SQLSTATES = {
    "42P01": Fault.MIGRATING,  # undefined_table
    "42703": Fault.MIGRATING,  # undefined_column
    "42501": Fault.UNAVAILABLE,  # insufficient_privilege: the role was not given what is there
    "3D000": Fault.UNAVAILABLE,  # invalid_catalog_name: no such database
    "3F000": Fault.UNAVAILABLE,  # invalid_schema_name
    "25006": Fault.READ_ONLY,  # read_only_sql_transaction: as we set it, a standby, or set so on the server
    "25P03": Fault.BUSY,  # idle_in_transaction_session_timeout
    "57014": Fault.BUSY,  # query_canceled: the statement timeout
    "55P03": Fault.BUSY,  # lock_not_available: the lock timeout
    "40001": Fault.BUSY,  # serialization_failure
    "40P01": Fault.BUSY,  # deadlock_detected
    "53300": Fault.BUSY,  # too_many_connections
    "08": Fault.UNAVAILABLE,  # connection exceptions
    "28": Fault.UNAVAILABLE,  # wrong user or password
    "53": Fault.UNAVAILABLE,  # out of disk or memory
    "57": Fault.UNAVAILABLE,  # shut down, starting up
    "58": Fault.UNAVAILABLE,  # system errors
    "23": Fault.CONFLICT,
    "22": Fault.BAD_VALUE,
}

# https://www.sqlite.org/rescode.html, primary codes (the low byte of an extended one).
_SQLITE_CODES = {
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_PROTOCOL: Fault.BUSY,  # too many wanted the write-ahead log at once
    sqlite3.SQLITE_CANTOPEN: Fault.UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: Fault.UNAVAILABLE,
    sqlite3.SQLITE_CORRUPT: Fault.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: Fault.UNAVAILABLE,
    sqlite3.SQLITE_FULL: Fault.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.UNAVAILABLE,
    sqlite3.SQLITE_CONSTRAINT: Fault.CONFLICT,
    sqlite3.SQLITE_TOOBIG: Fault.BAD_VALUE,
}


def classify(error: BaseException) -> Fault:
    """The fault behind a Django database error, or a driver's own."""
    match error:
        case exceptions.TenantMigrating():
            return Fault.MIGRATING
        case exceptions.DatabaseBusy():
            return Fault.BUSY
        case exceptions.DatabaseUnavailable():
            return Fault.UNAVAILABLE
    driver_error = error.__cause__ if isinstance(error, Error) and error.__cause__ else error
    fault = _by_code(driver_error)
    if fault is not None:
        return fault
    if isinstance(error, IntegrityError):
        return Fault.CONFLICT
    if isinstance(error, DataError):
        return Fault.BAD_VALUE
    if isinstance(error, OperationalError | InterfaceError) or _is_driver_connection_error(error):
        # psycopg2 gives no SQLSTATE when connecting fails or the server goes away in a query.
        return Fault.UNAVAILABLE
    return Fault.UNKNOWN


def _by_code(error: Any) -> Fault | None:
    if sqlstate := getattr(error, "pgcode", None):
        return _SQLSTATES.get(sqlstate) or _SQLSTATES.get(sqlstate[:2])
    if (code := getattr(error, "sqlite_errorcode", None)) is not None:
        if code == sqlite3.SQLITE_ERROR and str(error).startswith("no such "):
            # SQLite has one code for all mistakes in SQL; its wording is part of its test-suite.
            return Fault.MIGRATING
        return _SQLITE_CODES.get(code & 0xFF, Fault.UNKNOWN)
    return None


def _is_driver_connection_error(error: BaseException) -> bool:
    return type(error).__name__ in {"OperationalError", "InterfaceError"}
