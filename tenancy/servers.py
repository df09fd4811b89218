"""Database servers, as far as a pool knows them: who is connecting to one, and whether it answers.

Many tenants live on one server. What one caller learns about it, at the price of seconds, spares the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Host (or a socket's folder) and port.
Server = tuple[str, int]


def server_of(settings: Mapping[str, Any]) -> Server | None:
    """Where a connection with these settings goes; None for a database that is a file."""
    host = str(settings.get("HOST") or "")
    return (host, int(settings.get("PORT") or 5432)) if host else None


#: Seconds after which a server that nobody wants to connect to is not asked for any more.
FORGOTTEN = 60.0


@dataclass
class _Record:
    #: Who is connecting to it, and since when; the longest first.
    connecting: dict[Hashable, float] = field(default_factory=dict)
    #: A connection took long to fail. Somebody should ask the server whether it is there.
    suspected: bool = False
    #: It was asked, and said nothing.
    silent: bool = False
    #: When somebody last wanted to connect to it.
    wanted: float = field(default=0.0, compare=False)


class Servers:
    """What is known of each server. Its owner holds the lock; a clock is ``time.monotonic``."""

    def __init__(self) -> None:
        self._records: dict[Server, _Record] = {}

    def begin(self, server: Server | None, who: Hashable, now: float) -> None:
        """Note that ``who`` connects to it from now on."""
        if server is not None:
            self._records.setdefault(server, _Record()).connecting[who] = now

    def end(self, server: Server | None, who: Hashable) -> None:
        """Note that this is over, however it went."""
        record = self._records.get(server) if server is not None else None
        if record is not None:
            record.connecting.pop(who, None)
            if record == _Record():
                del self._records[server]  # type: ignore[arg-type]  # it had a record

    def connecting(self, server: Server | None) -> int:
        """How many connect to it now."""
        record = self._records.get(server) if server is not None else None
        return 0 if record is None else len(record.connecting)

    def longest(self, server: Server | None, now: float) -> float:
        """For how many seconds somebody has been connecting to it."""
        record = self._records.get(server) if server is not None else None
        return 0.0 if record is None else now - min(record.connecting.values(), default=now)

    def suspect(self, server: Server) -> None:
        self._records.setdefault(server, _Record()).suspected = True

    def silence(self, server: Server) -> None:
        record = self._records.setdefault(server, _Record())
        record.suspected = record.silent = True

    def heard(self, server: Server) -> None:
        """It answered."""
        if (record := self._records.get(server)) is not None:
            record.suspected = record.silent = False
            self.end(server, None)

    def is_silent(self, server: Server | None, now: float) -> bool:
        """For somebody who wants to connect to it."""
        record = self._records.get(server) if server is not None else None
        if record is None:
            return False
        record.wanted = now
        return record.silent

    def to_be_asked(self, now: float) -> list[Server]:
        """Those that are suspected or known to be silent. One that nobody wants any more (its tenants were
        removed) is forgotten; whoever comes after all finds out."""
        suspects = [(server, record) for server, record in self._records.items() if record.suspected]
        for server, record in suspects:
            record.wanted = record.wanted or now
            if now - record.wanted > FORGOTTEN:
                self.heard(server)
        return [server for server, record in suspects if record.suspected]

    def __bool__(self) -> bool:
        return bool(self._records)
