"""SQLite: one file per tenant. Opening never makes a file; only maintenance does."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import urllib.parse
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base

from tenancy.backends.wrapper import TenancyWrapper


class DatabaseWrapper(TenancyWrapper, base.DatabaseWrapper):
    physical = (*TenancyWrapper.physical, "file_identity", "transaction_mode", "init_commands")

    #: Device and inode of the open file.
    file_identity: tuple[int, int] | None = None

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        path = Path(params["database"])
        if self.reading is not None:
            self.transaction_mode = "DEFERRED"  # one snapshot, and no lock that writers wait for
            if self.reading.replica is not None:
                path = Path(self.reading.replica["NAME"])
        if self.maintenance and self.makes_file and not path.exists():
            # Made here, so that nobody else on the machine can read it from the first moment.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if self.maintenance and not self.makes_file:
            # Write-ahead logging, which would change a file that is only looked at.
            self.init_commands: list[str] = []
        # mode=rw: a missing file is a tenant that is unavailable, not a new and empty one.
        params["database"] = f"file:{urllib.parse.quote(str(path))}?mode=rw"
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        if self.read_only:
            connection.execute("PRAGMA query_only = ON")
        if not self.maintenance:
            # ATTACH would open another tenant's file past all that stands around this one. (VACUUM needs it.)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self.file_identity = self._identify_file()
        return connection

    def enter_snapshot(self) -> None:
        self.ensure_connection()
        self._start_transaction_under_autocommit()  # type: ignore[attr-defined]  # not in the stubs
        self.in_atomic_block = True

    def why_unreachable(self) -> str:
        if self._identify_file() is not None:
            return super().why_unreachable()
        return f"its file is not there; `manage.py migrate --database {self.alias}` makes it"

    def is_idle(self) -> bool:
        raw: Any = self.connection
        try:
            return not raw.in_transaction
        except self.Database.Error:
            return False  # somebody closed it

    def break_off(self) -> None:
        raw: Any = self.connection
        if raw is not None:
            with contextlib.suppress(self.Database.Error):  # it was closed meanwhile
                raw.interrupt()

    def is_usable(self) -> bool:
        """A file that was deleted or replaced stays readable through an open connection; we must not
        go on with it. One ``stat`` per request."""
        return self.file_identity is not None and self.file_identity == self._identify_file()

    def _identify_file(self) -> tuple[int, int] | None:
        try:
            found = Path(self.settings_dict["NAME"]).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
