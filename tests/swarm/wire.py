"""One connection to the server, and the ways of leaving it."""

from __future__ import annotations

import enum
import http.client
import random
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Seconds after which an answer is not awaited any more: more than any limit of the service.
PATIENCE = 30
#: Servers close an idle connection after five seconds. Long before, we do, and never cross it on the way.
_IDLE = 2.0
# Close with a reset, as a client that is killed: linger on, for zero seconds.
_RESET = struct.pack("ii", 1, 0)


class Cut(enum.Enum):
    """When a client leaves."""

    HALF_BODY = "half body"  # before the server has the whole request: it must change nothing
    UNANSWERED = "unanswered"
    HALF_ANSWER = "half answer"


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """``status`` is 0 where the client left before it came; ``text`` is what was read of it."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float
    cut: Cut | None = None


class Broken(Exception):
    """The server closed, or said nothing, or half of it."""


class _SmallWindow(http.client.HTTPConnection):
    """Takes in little at a time, so that a server with much to say has to wait."""

    window = 0

    def connect(self) -> None:
        self.sock = socket.socket()
        if self.window:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.window)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(self.timeout)
        self.sock.connect((self.host, self.port))


class Wire:
    """Kept open from one call to the next, whoever makes it, as a client's pool or a proxy does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: _SmallWindow | None = None
        self._used = 0.0

    def ask(self, call: Call) -> Answer:
        """Send, and read to the end. Raises ``Broken``."""
        connection = self._open()
        start = time.perf_counter()
        try:
            connection.request(call.method, call.path, call.body or None, dict(call.headers))
            with connection.getresponse() as response:
                body = response.read()
                answer = Answer(
                    response.status,
                    dict(response.getheaders()),
                    body.decode(),
                    time.perf_counter() - start,
                )
                stays_open = not response.will_close
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise Broken(f"{type(exc).__name__}: {exc}") from exc
        self._used = time.monotonic()
        if not stays_open:
            self.close()
        return answer

    def leave(self, call: Call, cut: Cut, *, delay: float, rng: random.Random) -> Answer:
        """Send, and close in the middle: after ``delay`` seconds, or a part of the answer."""
        if cut is Cut.HALF_ANSWER:
            self.close()
        connection = self._open(window=4096 if cut is Cut.HALF_ANSWER else 0)
        start = time.perf_counter()
        status, headers, text = 0, {}, ""
        try:
            if cut is Cut.HALF_BODY:
                connection.putrequest(call.method, call.path)
                for name, value in {**call.headers, "Content-Length": str(len(call.body))}.items():
                    connection.putheader(name, value)
                connection.endheaders(call.body[: rng.randrange(len(call.body))])
            else:
                connection.request(call.method, call.path, call.body or None, dict(call.headers))
            if cut is Cut.HALF_ANSWER:
                with connection.getresponse() as response:
                    status, headers = response.status, dict(response.getheaders())
                    # Whole characters may be cut in two.
                    text = response.read(rng.choice((1, 100, 5_000, 60_000))).decode(errors="replace")
            time.sleep(delay)
            if rng.random() < 0.5 and connection.sock is not None:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except (OSError, http.client.HTTPException) as exc:
            raise Broken(f"{type(exc).__name__}: {exc}") from exc
        finally:
            self.close()
        return Answer(status, headers, text, time.perf_counter() - start, cut)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self, window: int = 0) -> _SmallWindow:
        if self._connection is not None and time.monotonic() - self._used > _IDLE:
            self.close()
        if self._connection is None:
            self._connection = _SmallWindow("127.0.0.1", self._port, timeout=PATIENCE)
            self._connection.window = window
            try:
                self._connection.connect()
            except OSError as exc:
                self.close()
                raise Broken(f"No connection: {exc}") from exc
        return self._connection
