"""One migration of a database at a time, whoever begins it: the fleet, or ``migrate`` by hand."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from tenancy.exceptions import DatabaseBusy

#: Of our own among the keys of advisory locks; the other half is the schema, for a database may hold several.
_KEY = 0x746E616E
#: Seconds between two looks at a lock that somebody else has.
_PAUSE = 0.05


@contextmanager
def database_lock(connection: Any, wait: float) -> Iterator[None]:
    """Hold the lock of a maintenance connection's database, waiting ``wait`` seconds for it at most; and so
    long, from here on, for a table that others use.

    Raises ``DatabaseBusy`` when somebody else has it for longer. On PostgreSQL it is the session's, which is
    one of our own (maintenance goes past a pooler), and ends with it. SQLite's files are one machine's, and
    so is the lock: a file beside the compiled registry.
    """
    attempt = _advisory if connection.vendor == "postgresql" else _flock
    until = time.monotonic() + wait
    while True:
        with attempt(connection, wait) as is_ours:
            if is_ours:
                yield
                return
        if time.monotonic() >= until:
            raise DatabaseBusy(connection.alias, "somebody else migrates it")
        time.sleep(_PAUSE)


@contextmanager
def _advisory(connection: Any, wait: float) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(current_schema())), "
            "set_config('lock_timeout', %s, false)",
            [_KEY, f"{max(1, int(wait * 1000))}ms"],
        )
        is_ours = bool(cursor.fetchone()[0])
    # Maintenance closes the connection, and the lock goes with it: that saves the trip to unlock.
    yield is_ours


@contextmanager
def _flock(connection: Any, wait: float) -> Iterator[bool]:
    folder = Path(settings.TENANCY_CACHE_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    # The file's own: whoever leads the alias elsewhere does not wait.
    place = hashlib.sha256(os.path.realpath(connection.settings_dict["NAME"]).encode()).hexdigest()[:12]
    descriptor = os.open(folder / f"{connection.alias}-{place}.lock", flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)  # unlocks, too
