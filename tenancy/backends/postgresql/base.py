"""PostgreSQL: a database, or a schema in one, per tenant."""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base

from tenancy.backends.wrapper import GuardedRows, TenancyWrapper

# Milliseconds. Given when the connection starts: behind a pooler a session SET would reach others.
_LIMITS = {
    "statement_timeout": 10_000,
    "lock_timeout": 2_000,
    "idle_in_transaction_session_timeout": 30_000,
}
# A migration may take as long as it needs, but must not queue for ever behind a busy table.
_MAINTENANCE_LIMITS = {"lock_timeout": 30_000}


class GuardedDebugCursor(GuardedRows, base.CursorDebugWrapper):
    pass


class DatabaseWrapper(TenancyWrapper, base.DatabaseWrapper):
    debug_cursor_class = GuardedDebugCursor

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        limits = _MAINTENANCE_LIMITS if self.maintenance else _LIMITS
        start = {"search_path": self.settings_dict["SCHEMA"], **limits}
        params["options"] = " ".join(f"-c {name}={value}" for name, value in start.items())
        return params

    def is_usable(self) -> bool:
        """Look at the socket instead of asking the server: an idle connection has nothing to say, so
        one that is readable was closed, or is not in a state to be used."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
        return not poll.poll(0)
