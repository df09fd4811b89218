"""How the database itself keeps events as they were written.

A trigger refuses to change or delete a row, whoever asks. On PostgreSQL the role that owns the table, which
is the service's, also takes from itself every right but to add and to read: what remains needs a superuser,
as taking away what is older than the law wants it kept.
"""

from __future__ import annotations

from typing import Any

TABLE = "audit_event"
_REFUSAL = "The audit trail is append-only."
_RAISE = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"

PROTECT: dict[str, tuple[str, ...]] = {
    "sqlite": (
        f"CREATE TRIGGER {TABLE}_no_update BEFORE UPDATE ON {TABLE} {_RAISE}",
        f"CREATE TRIGGER {TABLE}_no_delete BEFORE DELETE ON {TABLE} {_RAISE}",
        # INSERT OR REPLACE deletes without asking the one above. One event told twice is one, and stays.
        f"""CREATE TRIGGER {TABLE}_no_replace BEFORE INSERT ON {TABLE}
        WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE id = NEW.id) BEGIN SELECT RAISE(IGNORE); END""",
    ),
    "postgresql": (
        f"""CREATE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'insufficient_privilege'; END $$""",
        f"""CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE ON {TABLE}
        FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()""",
        f"""CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE}
        FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()""",
        f"REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {TABLE} FROM CURRENT_USER",
    ),
}

RELEASE: dict[str, tuple[str, ...]] = {
    "sqlite": tuple(f"DROP TRIGGER {TABLE}_no_{verb}" for verb in ("update", "delete", "replace")),
    "postgresql": (
        f"GRANT UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {TABLE} TO CURRENT_USER",
        f"DROP TRIGGER {TABLE}_append_only ON {TABLE}",
        f"DROP TRIGGER {TABLE}_no_truncate ON {TABLE}",
        f"DROP FUNCTION {TABLE}_refuse()",
    ),
}


def protect(connection: Any) -> None:
    _execute(connection, PROTECT)


def release(connection: Any) -> None:
    """Undo it: for a migration backwards, and where tests empty their tables."""
    _execute(connection, RELEASE)


def _execute(connection: Any, statements: dict[str, tuple[str, ...]]) -> None:
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)
