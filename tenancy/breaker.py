"""A circuit breaker: a database that cannot be reached is answered for at once, without trying."""

from __future__ import annotations

import enum
import time


class State(enum.Enum):
    CLOSED = "closed"
    #: Nobody may try.
    OPEN = "open"
    #: One may try; the others are refused until it is known how that went.
    HALF_OPEN = "half open"


class Breaker:
    """Counts one database's failures to connect. Its owner holds the lock.

    ``limit`` failures in a row open it, or a single one that took ``SLOW`` seconds or more: a server that
    does not answer costs every caller its patience, one that refuses costs nothing. After ``pause`` seconds
    one caller may try again. Clock: ``time.monotonic``.
    """

    SLOW = 1.0

    def __init__(self, limit: int, pause: float) -> None:
        self.limit = limit
        self.pause = pause
        self.failures = 0
        self.opened_at: float | None = None
        #: Nothing came back from the server, not even a refusal. Until ``tenancy.watchdog`` hears from it
        #: nobody tries: each trial would cost somebody seconds.
        self.silent = False
        self._trial_at: float | None = None

    def state(self, now: float | None = None) -> State:
        if self.opened_at is None:
            return State.CLOSED
        if self.silent:
            return State.OPEN
        now = time.monotonic() if now is None else now
        # A trial that never reported (its thread was killed) does not keep the others out for ever.
        since = self.opened_at if self._trial_at is None else max(self.opened_at, self._trial_at)
        return State.HALF_OPEN if now - since >= self.pause else State.OPEN

    def try_once(self) -> None:
        """Note that somebody tries now."""
        self._trial_at = time.monotonic()

    def did_not_try(self) -> None:
        """Note that it came to nothing, which says nothing about the database."""
        self._trial_at = None

    def failed(self, seconds: float, *, is_file: bool = False) -> bool:
        """Note a failure that took this long; behind a file there is no server that could be silent. Returns
        whether the breaker is open now."""
        self.failures += 1
        if seconds >= self.SLOW:
            self.trip(silent=not is_file)
        elif self.failures >= self.limit:
            self.trip()
        return self.opened_at is not None

    def trip(self, *, silent: bool = False) -> None:
        """Open, whatever was counted."""
        self.opened_at = time.monotonic()
        self.silent = silent
        self._trial_at = None

    def heard(self) -> None:
        """The server answers again: the next caller may try at once."""
        self.silent = False
        self.opened_at = time.monotonic() - self.pause
