"""PostgreSQL: a database, or a schema in one, per tenant."""

from __future__ import annotations

import select
import socket
from typing import Any

from django.db.backends.postgresql import base

from tenancy.backends.wrapper import GuardedRows, TenancyWrapper

# Milliseconds. Given when the connection starts: behind a pooler a session SET would reach others.
LIMITS = {
    "statement_timeout": 10_000,
    "lock_timeout": 2_000,
    "idle_in_transaction_session_timeout": 30_000,
}
# A migration may take as long as it needs, but must not queue for ever behind a busy table.
_MAINTENANCE_LIMITS = {
    "statement_timeout": 0,
    "lock_timeout": 30_000,
    "idle_in_transaction_session_timeout": 0,
}
#: Of a host's addresses, how many are tried: see ``get_connection_params``.
_MOST_ADDRESSES = 2


def _addresses(host: str, port: str | None) -> list[str]:
    """What a host's name stands for; nothing for a socket's folder, or a name that libpq may complain of."""
    if host.startswith("/"):
        return []
    try:
        found = socket.getaddrinfo(host, port or 5432, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedDebugCursor(GuardedRows, base.CursorDebugWrapper):
    pass


class DatabaseWrapper(TenancyWrapper, base.DatabaseWrapper):
    debug_cursor_class = GuardedDebugCursor

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        params["application_name"] = self.alias  # who it is, in pg_stat_activity and the server's log
        limits = _MAINTENANCE_LIMITS if self.maintenance else LIMITS
        start = {"search_path": self.settings_dict["SCHEMA"], **limits}
        params["options"] = " ".join(f"-c {name}={value}" for name, value in start.items())
        addresses = _addresses(params["host"], params.get("port"))
        if len(addresses) > 1:
            # libpq tries each address for connect_timeout seconds. Two of one second each are as long as
            # one of two, which is what a host with a single address gets.
            params["host"] = ",".join([params["host"]] * _MOST_ADDRESSES)
            params["hostaddr"] = ",".join(addresses[:_MOST_ADDRESSES])
            params["connect_timeout"] = 1
        return params

    def is_usable(self) -> bool:
        """Look at the socket instead of asking the server: an idle connection has nothing to say, so
        one that is readable was closed, or is not in a state to be used."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
        return not poll.poll(0)
