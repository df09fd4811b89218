"""One migration of a database at a time, whoever begins it: the fleet, or ``migrate`` by hand."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import Error

from tenancy.backends.faults import Fault, classify
from tenancy.exceptions import DatabaseBusy

#: Of our own among the keys of advisory locks; the other half is the schema, for a database may hold several.
_KEY = 0x746E616E
#: Seconds between two looks at a file's lock that somebody else has.
_PAUSE = 0.05


class DatabaseLock:
    """The lock of a maintenance connection's database; as a context manager it lets go of it at the end.

    On PostgreSQL it is the session's, which is one of our own (maintenance goes past a pooler) and is waited
    for as long as for any lock in it. It ends with the session: that saves the trip to unlock. SQLite's files
    are one machine's, and so is the lock: a file beside the compiled registry, waited for ``wait`` seconds.
    """

    def __init__(self, connection: Any, wait: float) -> None:
        self.connection = connection
        self.wait = wait
        self.is_held = False
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.is_held = False
        if self._descriptor is not None:
            os.close(self._descriptor)  # unlocks, too
            self._descriptor = None

    def acquire(self, question: str = "") -> list[tuple[Any, ...]]:
        """Take it, and return the rows of a question asked under it, in one trip to the server.

        Raises ``DatabaseBusy`` when somebody else has it for too long, and what the question raises: then it
        is held all the same.
        """
        if self.connection.vendor != "postgresql":
            self._lock_file()
        with self.connection.cursor() as cursor:
            if self.connection.vendor == "postgresql":
                schema = zlib.crc32(self.connection.settings_dict["SCHEMA"].encode()) - 2**31
                lock = f"SELECT pg_advisory_lock({_KEY}, {schema})"
                try:
                    cursor.execute(f"{lock};\n{question}" if question else lock)
                except Error as exc:
                    if classify(exc) is Fault.BUSY:
                        raise self._busy() from exc
                    self.is_held = True  # a session's lock outlives the transaction that failed
                    raise
                self.is_held = True
            elif question:
                cursor.execute(question)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if question else []
        return rows

    def _busy(self) -> DatabaseBusy:
        return DatabaseBusy(self.connection.alias, "somebody else migrates it")

    def _lock_file(self) -> None:
        folder = Path(settings.TENANCY_CACHE_DIR)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The file's own: whoever leads the alias elsewhere does not wait.
        place = hashlib.sha256(os.path.realpath(self.connection.settings_dict["NAME"]).encode()).hexdigest()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(folder / f"{self.connection.alias}-{place[:12]}.lock", flags, 0o600)
        until = time.monotonic() + self.wait
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise self._busy() from None
                time.sleep(_PAUSE)
            else:
                self.is_held = True
                return
