"""Looks after the connections that are open, in a thread of its own.

It closes what is idle for too long; finds calls that wait for a server which is gone; and asks servers that
were found silent whether they are back, so that no request has to.

Whether a server lives is asked with the first eight bytes of PostgreSQL's protocol, a request for TLS, which
any server and pooler answers with one byte before it asks who one is: no session, no password, nothing in its
log. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenancy.conf import conf
from tenancy.names import MOST_ADDRESSES, names
from tenancy.pool import Pool, discard_all, pool
from tenancy.servers import Server, server_of

logger = logging.getLogger("tenancy.watchdog")

#: Seconds between two looks.
TICK = 0.2
#: Seconds that a server has to answer with one byte.
PATIENCE = 0.75
#: Seconds until a server that answered is asked again on behalf of a call that still runs.
TRUST = 2.0
#: Servers asked at the same time.
MOST_ASKED = 8

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def answers(server: Server, seconds: float = PATIENCE) -> bool:
    """Whether anybody at this address speaks PostgreSQL's protocol within this time."""
    host, port = server
    deadline = time.monotonic() + seconds
    try:
        with _connect(host, port, seconds) as line:
            line.settimeout(max(deadline - time.monotonic(), 0.01))
            line.sendall(_SSL_REQUEST)
            return line.recv(1) in (b"S", b"N", b"E")
    except OSError:
        return False


def _connect(host: str, port: int, seconds: float) -> socket.socket:
    if not host.startswith("/"):
        return _connect_to_any(names.addresses(host)[:MOST_ADDRESSES], port, seconds)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(seconds)
        line.connect(str(Path(host) / f".s.PGSQL.{port}"))
    except BaseException:
        line.close()
        raise
    return line


def _name(server: Server) -> str:
    return f"{server[0]}:{server[1]}"


def _connect_to_any(addresses: list[str], port: int, seconds: float) -> socket.socket:
    """As libpq does: the next address when one does not answer in its part of the time."""
    for number, address in enumerate(addresses, start=1):
        try:
            return socket.create_connection((address, port), timeout=seconds / len(addresses))
        except OSError:
            if number == len(addresses):
                raise
    raise OSError("no address")  # names have one at least


class Watchdog:
    """Looks at one pool, every ``TICK`` seconds while there is anything to look at."""

    def __init__(self, watched: Pool) -> None:
        self.pool = watched
        self._answered: dict[Server, float] = {}
        self._asking: set[Server] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Start looking, unless it does already. Raises nothing: whoever comes next tries it again."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = _start(self._run, "tenancy-watchdog")

    def _run(self) -> None:
        """Look until there is nothing to look at."""
        while True:
            time.sleep(TICK)
            try:
                self.look()
            except Exception:
                # The thread must outlive a mistake: without it nothing is closed and nobody is rescued.
                logger.exception("The watchdog stumbled.")
            with self._lock:
                if self.pool.is_quiet():
                    self._thread = None
                    return

    def forget(self) -> None:
        """Start anew, as in a process that was forked: its thread is the parent's."""
        self.__init__(self.pool)  # type: ignore[misc]

    def look(self) -> None:
        """One look at everything."""
        self.pool.do_chores()
        self.pool.look_at_departures()
        self.pool.discard_aged()
        suspects = self._long_calls()
        self.pool.note_stuck(Counter(wrapper.alias for wrapper, _ in suspects))
        now = time.monotonic()
        for wrapper, started in suspects:
            if now - started > wrapper.call_limit and wrapper.call_started == started:
                logger.error("A call to the database of '%s' took too long; it is ended.", wrapper.alias)
                wrapper.sever()
        by_server: dict[Server, list[tuple[Any, float]]] = {}
        for wrapper, started in suspects:
            if (server := server_of(wrapper.settings_dict)) is not None:
                by_server.setdefault(server, []).append((wrapper, started))
        for server, calls in by_server.items():
            if time.monotonic() - self._answered.get(server, -TRUST) >= TRUST:
                self._ask(server, functools.partial(self._judge, server, calls))
        for server in self.pool.to_be_asked():
            self._ask(server, functools.partial(self._listen, server))

    def _long_calls(self) -> list[tuple[Any, float]]:
        """Who waits for the driver longer than anybody waits for a connection, and since when."""
        now, found = time.monotonic(), []
        for wrapper in self.pool.holders():
            started = wrapper.call_started
            if started and now - started > conf.pool_wait:
                found.append((wrapper, started))
        return found

    def _judge(self, server: Server, calls: list[tuple[Any, float]]) -> None:
        """End calls to a server that is gone. A slow query on one that is there is left alone."""
        if answers(server):
            self._answered[server] = time.monotonic()
            return
        logger.error("The server %s does not answer any more; calls to it are ended.", _name(server))
        idle = self.pool.silence(server)  # before a call ends: whoever made it may come again at once
        for wrapper, started in calls:
            if wrapper.call_started == started:
                wrapper.sever()
        discard_all(idle)

    def _listen(self, server: Server) -> None:
        """Ask a server that was silent, or took too long to let somebody in."""
        if answers(server):
            logger.info("The server %s answers.", _name(server))
            self.pool.heard(server)
        else:
            discard_all(self.pool.silence(server))

    def _ask(self, server: Server, question: Callable[[], None]) -> None:
        """Ask in a thread: an answer that does not come takes a second, and others have servers too."""
        with self._lock:
            if server in self._asking or len(self._asking) >= MOST_ASKED:
                return
            self._asking.add(server)

        def ask() -> None:
            try:
                question()
            finally:
                with self._lock:
                    self._asking.discard(server)

        if _start(ask, "tenancy-watchdog-asks") is None:
            with self._lock:
                self._asking.discard(server)


def _start(work: Callable[[], None], name: str) -> threading.Thread | None:
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        logger.exception("No thread can be started to look after connections.")
        return None
    return thread


watchdog = Watchdog(pool)

os.register_at_fork(after_in_child=watchdog.forget)
