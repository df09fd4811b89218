"""PostgreSQL: a database, or a schema in one, per tenant."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
import time
from typing import Any

from django.db.backends.postgresql import base
from django.utils.functional import cached_property
from psycopg2 import Error as DriverError
from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE, TRANSACTION_STATUS_IDLE

from tenancy.backends.cursors import GuardedRows
from tenancy.backends.wrapper import TenancyWrapper
from tenancy.context import current_tenant
from tenancy.departures import has_hung_up
from tenancy.exceptions import DatabaseUnavailable
from tenancy.names import MOST_ADDRESSES, NameUnknown, names
from tenancy.registry import get_registry
from tenancy.servers import Server, server_of

# Milliseconds. Given when the connection starts: behind a pooler a session SET would reach others.
LIMITS = {
    "statement_timeout": 10_000,
    "lock_timeout": 2_000,
    "idle_in_transaction_session_timeout": 30_000,
}
#: Names of the zone that Django calls UTC. PostgreSQL knows the first by heart; for another each session that
#: asks for it reads a file, which takes a twentieth of the time that connecting does.
_UTC = ("GMT", "UTC", "Etc/UTC")
#: Seconds that may go to the name of a host without being missed for connecting to it.
_UNHURRIED = 0.1
#: Milliseconds that whoever closes a connection waits for the session to end. A server that is there needs
#: one or two.
_PATIENCE = 100


def _past_the_pooler(alias: str) -> dict[str, Any] | None:
    """The settings of the entry's ``direct_url``; None where there is no pooler in between."""
    tenant = current_tenant()
    if tenant is None or tenant.id != alias:
        registry = get_registry()
        if alias not in registry:
            return None
        tenant = registry.get(alias)
    return tenant.direct


def _conninfo(params: dict[str, Any]) -> str:
    """As libpq reads it (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING)."""
    return " ".join(
        "{}='{}'".format(name, str(value).replace("\\", "\\\\").replace("'", "\\'"))
        for name, value in params.items()
        if value is not None
    )


def _say_no_more(line: int) -> None:
    """Let the other side see that nothing comes any more, which a second descriptor would keep back: for who
    has not heard that the session is to end."""
    twin = socket.socket(fileno=line)
    try:
        with contextlib.suppress(OSError):
            twin.shutdown(socket.SHUT_WR)
    finally:
        twin.detach()


class GuardedDebugCursor(GuardedRows, base.CursorDebugWrapper):
    # Django has these two itself where it keeps a log of queries, so they are not seen as the driver's.

    def copy_expert(self, *args: Any) -> Any:
        self.db.require_admission()
        self.db.session_changed = True  # for all we know
        return super().copy_expert(*args)

    def copy_to(self, *args: Any, **kwargs: Any) -> Any:
        self.db.require_admission()
        self.db.session_changed = True
        return super().copy_to(*args, **kwargs)


class DatabaseWrapper(TenancyWrapper, base.DatabaseWrapper):
    debug_cursor_class = GuardedDebugCursor
    handshake_limit = 2.0
    physical = (*TenancyWrapper.physical, "isolation_level", "pooled", "call_limit")

    #: The connection is one to a pooler that gives a session to a transaction, not to a client. What is set
    #: when a session starts would reach nobody, or everybody: there the role's own settings count
    #: (``roles.py``).
    pooled = False

    @cached_property
    def pg_version(self) -> int:
        """Django opens a cursor for it, and a connection where there is none."""
        raw: Any = self.connection
        known = raw.info.server_version if raw is not None and not raw.closed else 0
        return int(known or super().pg_version)

    def server(self) -> Server | None:
        settings, _ = self._way()
        return server_of(settings)

    def _way(self) -> tuple[dict[str, Any], bool]:
        """The settings to connect with, and whether they lead to a pooler.

        What needs a session of its own goes past the pooler: it may hand each transaction another session.
        """
        if self.reading is not None and self.reading.replica is not None:
            return self.reading.replica, False
        direct = None if self.is_elsewhere else _past_the_pooler(self.alias)
        pooled = direct is not None and not (self.maintenance or self.must_be_read_only())
        return (self.settings_dict if direct is None or pooled else direct), pooled

    def get_connection_params(self) -> dict[str, Any]:
        settings, self.pooled = self._way()
        limits = self._limits()
        # The server itself ends a statement sooner, if it has got it.
        self.call_limit = float("inf") if self.maintenance else limits["statement_timeout"] / 1000 + 1
        source = self if settings is self.settings_dict else base.DatabaseWrapper(settings, self.alias)
        params: dict[str, Any] = base.DatabaseWrapper.get_connection_params(source)
        params["application_name"] = self.alias  # who it is, in pg_stat_activity and the server's log
        if not self.pooled:
            # The zone as Django wants it: it would be set by a statement otherwise, with a trip of its own.
            zone = _UTC[0] if self.timezone_name == "UTC" else self.timezone_name
            start = {"search_path": settings["SCHEMA"], "TimeZone": zone, **limits}
            if self.read_only:
                start["default_transaction_read_only"] = "on"
            if self.reading is not None:
                start["default_transaction_isolation"] = r"repeatable\ read"  # one snapshot
            if self.maintenance:
                # What is asked under a lock has to be what is so after the wait for it.
                start["default_transaction_isolation"] = r"read\ committed"
            params["options"] = " ".join(f"-c {name}={value}" for name, value in start.items())
        if not params["host"].startswith("/"):
            params |= self._addresses(params["host"])
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """psycopg2 would search each parameter by regular expressions, twice: half as much work again for us
        as libpq's part."""
        factory = conn_params.pop("cursor_factory")
        return super().get_new_connection({"dsn": _conninfo(conn_params), "cursor_factory": factory})

    def _configure_timezone(self, connection: Any) -> bool:
        """Django's, which sets the zone where the session has another name for it. Private API, read in
        Django 5.2.19."""
        if self.timezone_name == "UTC" and connection.info.parameter_status("TimeZone") in _UTC:
            return False
        return bool(super()._configure_timezone(connection))  # type: ignore[misc]

    def _limits(self) -> dict[str, int]:
        if self.maintenance:  # a migration may take as long as it needs
            return dict.fromkeys(LIMITS, 0) | {"lock_timeout": max(1, int(self.patience * 1000))}
        if self.reading is not None:
            limit = min(max(1, int(self.reading.limit * 1000)), 2**31 - 1)  # the server knows no more
            # Between two statements a report works on what it has read.
            return LIMITS | {"statement_timeout": limit, "idle_in_transaction_session_timeout": limit}
        return LIMITS

    def _addresses(self, host: str) -> dict[str, Any]:
        """Where libpq is to look, so that it asks nobody; it still checks a certificate against the name."""
        started = time.monotonic()
        try:
            found = names.addresses(host)[:MOST_ADDRESSES]
        except NameUnknown as exc:
            raise DatabaseUnavailable(self.alias, str(exc)) from exc
        params: dict[str, Any] = {"host": ",".join([host] * len(found)), "hostaddr": ",".join(found)}
        if len(found) > 1 or time.monotonic() - started > _UNHURRIED:
            # libpq tries each address for connect_timeout seconds. Two of one second each are as long as
            # one of two, which is what a host with a single address gets.
            params["connect_timeout"] = 1
        return params

    def opening_words(self) -> str:
        return "BEGIN; " if self.reading is not None and self.reading.is_snapshot else ""

    def chunked_cursor(self) -> Any:
        """A server's cursor lives in a session; behind a pooler the rows are fetched at once."""
        return self.cursor() if self.pooled else super().chunked_cursor()

    def is_idle(self) -> bool:
        raw: Any = self.connection
        return bool(raw.info.transaction_status == TRANSACTION_STATUS_IDLE)

    def break_off(self) -> None:
        """Asks the server over another connection, in a thread, for it may not answer; then cuts the line."""
        raw: Any = self.connection
        if raw is None:
            return

        def cancel() -> None:
            try:
                raw.cancel()
            except DriverError:
                self.sever()

        threading.Thread(target=cancel, name="break-off", daemon=True).start()

    def sever(self) -> None:
        """Shut the socket down, so that whoever waits for an answer hears that there will be none."""
        raw: Any = self.connection
        try:
            number = raw.fileno()
            twin = socket.socket(fileno=os.dup(number))
        except (AttributeError, OSError, DriverError):
            return  # it was closed meanwhile
        with twin, contextlib.suppress(OSError, DriverError):
            # Still the same file: its number may have gone to another connection before it was doubled.
            if raw.fileno() == number:
                twin.shutdown(socket.SHUT_RDWR)

    def _hang_up(self, raw: Any) -> int | None:
        """A server counts a session until its process has ended, which it shows by hanging up. That is waited
        for a moment; after that the pool keeps the room, so that there is never one too many.

        In the middle of a statement it is not: a second descriptor would keep the socket open, and with it a
        server that still sends. It ends when nobody is there to read.
        """
        in_loop = asyncio._get_running_loop() is not None  # which must not wait
        patience = _PATIENCE if self.hang_up_patiently and not in_loop else 0
        line = None
        if not raw.closed and raw.info.transaction_status != TRANSACTION_STATUS_ACTIVE:
            with contextlib.suppress(OSError, DriverError):
                line = os.dup(raw.fileno())
        try:
            super()._hang_up(raw)
            if line is None:
                return None
            if not has_hung_up(line, patience):
                _say_no_more(line)
                return line
        except BaseException:
            if line is not None:
                os.close(line)
            raise
        os.close(line)
        return None

    def is_usable(self) -> bool:
        """Look at the socket instead of asking the server: an idle connection has nothing to say, so
        one that is readable was closed, or is not in a state to be used."""
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
        return not poll.poll(0)
