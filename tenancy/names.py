"""What the names of database servers stand for, found out in bounded time.

The system's resolver has no limit of its own: with a name server that does not answer a caller waits for ten
seconds, and libpq asks again. So a name is looked up by a thread, for which nobody waits long, and what it
stood for a moment ago is used meanwhile.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

#: Seconds that a caller waits for a name it knows nothing of.
PATIENCE = 0.5
#: Of a host's addresses, how many are tried.
MOST_ADDRESSES = 2
#: Seconds for which an answer is taken as it is, and seconds for which it is better than none.
FRESH, STALE = 30.0, 3600.0


class NameUnknown(OSError):
    """Nobody says, or nobody said in time, what a name stands for."""


@dataclass(frozen=True)
class _Answer:
    addresses: list[str]
    since: float


class Names:
    """Looks up names, each by one thread at a time."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}
        self._asking: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str) -> list[str]:
        """The addresses of a host, each once, in the system's order. An address stands for itself.

        Raises ``NameUnknown``.
        """
        with suppress(OSError, UnicodeError):
            return _look_up(host, socket.AI_NUMERICHOST)
        answer = self._answers.get(host)
        age = None if answer is None else time.monotonic() - answer.since
        if age is None or age > FRESH:
            self._ask(host).join(PATIENCE if age is None or age > STALE else 0)
            answer = self._answers.get(host)
        if answer is None or time.monotonic() - answer.since > STALE:
            raise NameUnknown("the name of its host is not known, or nobody said in time what it stands for")
        return answer.addresses

    def forget(self) -> None:
        """Start anew, as in a process that was forked: the threads are the parent's."""
        self.__init__()  # type: ignore[misc]

    def _ask(self, host: str) -> threading.Thread:
        with self._lock:
            thread = self._asking.get(host)
            if thread is None or not thread.is_alive():
                thread = threading.Thread(target=self._answer, args=(host,), name="names", daemon=True)
                thread.start()
                self._asking[host] = thread
            return thread

    def _answer(self, host: str) -> None:
        with suppress(OSError, UnicodeError):  # whoever comes next asks again
            self._answers[host] = _Answer(_look_up(host), time.monotonic())


def _look_up(host: str, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


names = Names()

os.register_at_fork(after_in_child=names.forget)
