"""Closed-loop clients: each sends its next request when the last one is answered. For tails and faults."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.stage import Guest

#: Seconds after which an answer is not awaited any more: more than any limit of the service.
PATIENCE = 15.0
#: The status of a request whose connection broke.
BROKEN = 0


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent (``time.monotonic``), seconds to its answer, and what that was."""

    tenant_id: str
    sent: float
    seconds: float
    status: int

    @property
    def is_error(self) -> bool:
        return not 200 <= self.status < 300


class Connection:
    """Speaks as much HTTP/1.1 as is needed: what measures must cost little."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> int:
        """The status of the answer, which is read whole. ``BROKEN`` when there is none."""
        try:
            return self._ask(request)
        except OSError:
            self.close()
            return BROKEN

    def _ask(self, request: bytes) -> int:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        head = head.lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        missing = length - len(body)
        while missing > 0:
            missing -= len(self._receive())
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    def _receive(self) -> bytes:
        if self._socket is None or not (data := self._socket.recv(65_536)):
            raise ConnectionResetError
        return data

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None


def get(guest: Guest, path: str) -> bytes:
    """A request as bytes."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
        f"X-Forwarded-Proto: https\r\nAuthorization: Bearer {guest.token}\r\n\r\n"
    ).encode()


class Client(threading.Thread):
    """Asks for what ``requests`` yields until it ends, or until told to stop.

    ``pace`` is the least number of seconds from one request to the next; for ``begin`` it waits first.
    """

    def __init__(
        self,
        port: int,
        requests: Iterator[tuple[str, bytes]],
        pace: float = 0.0,
        begin: threading.Event | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self._pace, self._begin = pace, begin
        self.samples: list[Sample] = []
        self._connection = Connection(port)
        self._requests = requests
        self._stop_asked = threading.Event()

    def run(self) -> None:
        if self._begin is not None:
            self._begin.wait()
            self._stop_asked.wait(random.random() * self._pace)  # not all at once
        for tenant_id, request in self._requests:
            if self._stop_asked.is_set():
                break
            sent = time.monotonic()
            status = self._connection.ask(request)
            seconds = time.monotonic() - sent
            self.samples.append(Sample(tenant_id, sent, seconds, status))
            # A server that refuses must not be asked in a tight loop.
            pace = max(self._pace, 0.05) if status == BROKEN else self._pace
            if seconds < pace:
                self._stop_asked.wait(pace - seconds)
        self._connection.close()

    def stop(self) -> None:
        self._stop_asked.set()


def drive(clients: Iterable[Client], during: Callable[[], None] | None = None) -> list[Sample]:
    """Let clients ask, until their requests end or, if something is to be done ``during`` that, until it is
    done. All samples, in order of time."""
    clients = list(clients)
    for client in clients:
        client.start()
    if during is not None:
        try:
            during()
        finally:
            for client in clients:
                client.stop()
    for client in clients:
        client.join(PATIENCE + 5 if during is not None else None)
    return sorted((sample for client in clients for sample in client.samples), key=lambda one: one.sent)


def around(guests: list[Guest], path: str, seed: int) -> Iterator[tuple[str, bytes]]:
    """For ever, one of the guests at random."""
    dice = random.Random(seed)
    requests = [(guest.tenant_id, get(guest, path)) for guest in guests]
    while True:
        yield dice.choice(requests)


def percentile(seconds: Iterable[float], share: float) -> float:
    """``share`` of the values are no larger; 0 of none."""
    values = sorted(seconds)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
