"""Sessions that were told to end, and have not been seen to.

A server counts a session until its process is gone, which it shows by hanging up. Whoever closed the
connection has kept a second descriptor of its socket, the line, at which that shows.
"""

from __future__ import annotations

import contextlib
import os
import select
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenancy.servers import Server

#: Seconds after which somebody should ask the server whether it is there.
SLOW = 0.4
#: Seconds after which a session does not count any more, whatever its server makes of it: longer than a
#: statement may take, for a server sees only after a statement that nobody waits for it.
MOST = 15.0

T = TypeVar("T")


#: The other side has hung up. Where the system cannot say just that, there is something to read: the end, or
#: what a session had still to say.
_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLIN)


def has_hung_up(line: int, milliseconds: int = 0) -> bool:
    """Whether the other side of a closed connection hangs up within this time."""
    poll = select.poll()
    poll.register(line, _HUNG_UP)
    return bool(poll.poll(milliseconds))


@dataclass
class _Departure(Generic[T]):
    room: T
    server: Server | None
    line: int
    since: float
    is_slow: bool = False


class Departures(Generic[T]):
    """Who is on the way out, and the room that each still takes. Their owner holds the lock; a clock is
    ``time.monotonic``."""

    def __init__(self) -> None:
        self._on_their_way: list[_Departure[T]] = []

    def add(self, room: T, server: Server | None, line: int, now: float) -> None:
        """The line is closed here."""
        self._on_their_way.append(_Departure(room, server, line, now))

    def gone(self, now: float) -> list[T]:
        """The rooms of those whose session has ended, or has been waited for long enough."""
        return self._let_go(
            [each for each in self._on_their_way if has_hung_up(each.line) or now - each.since > MOST]
        )

    def give_up(self, server: Server | None = None) -> list[T]:
        """The rooms at one server, or at all: nobody will say when those sessions have ended."""
        return self._let_go([each for each in self._on_their_way if server is None or each.server == server])

    def servers(self) -> set[Server | None]:
        """Where somebody is still on the way out."""
        return {each.server for each in self._on_their_way}

    def slow(self, now: float) -> set[Server]:
        """The servers that take longer to end a session than one that is there, each session told once."""
        found = [each for each in self._on_their_way if not each.is_slow and now - each.since > SLOW]
        for each in found:
            each.is_slow = True
        return {each.server for each in found if each.server is not None}

    def __len__(self) -> int:
        return len(self._on_their_way)

    def _let_go(self, gone: list[_Departure[T]]) -> list[T]:
        for each in gone:
            self._on_their_way.remove(each)
            with contextlib.suppress(OSError):  # somebody closed what was not theirs: that ends nobody's work
                os.close(each.line)
        return [each.room for each in gone]
