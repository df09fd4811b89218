"""A black hole on demand: a TCP proxy in front of a database server that can stop forwarding.

No side gets a refusal or an end, only silence. There are two kinds. A server that *hangs* accepts
connections and says nothing; its host goes on acknowledging what it is sent, so no limit of TCP's helps. On a
network that *loses* packets nothing is acknowledged, and a new connection does not even come about: a socket
filter that takes nothing (Linux, socket(7), SO_ATTACH_FILTER) drops packets before TCP sees them.
"""

from __future__ import annotations

import ctypes
import selectors
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress

#: Bytes taken at a time.
_CHUNK = 65_536


# From <asm-generic/socket.h>, and the filter program "return 0" (<linux/filter.h>).
_ATTACH, _DETACH = 26, 27
_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_FILTER = struct.pack("HP", 1, ctypes.addressof(_NOTHING))


class Proxy:
    """Forwards 127.0.0.1:``port`` to a Unix socket while the block lasts; ``hang()``, ``lose()`` and
    ``forward()`` switch. What has arrived while it hangs is gone, so those connections stay dead.

    What clients say arrives ``latency`` seconds later, as if the server were that far away."""

    def __init__(self, target: str, latency: float = 0.0) -> None:
        self._target = target
        self._latency = latency
        #: What is under way: when it arrives, where it came from and where it goes, and nothing for an end.
        self._under_way: deque[tuple[float, socket.socket, socket.socket, bytes]] = deque()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        # A pair of sockets wakes the loop up, to end.
        self._alarm, self._waker = socket.socketpair()
        self._is_silent = self._is_losing = False
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def hang(self) -> None:
        self._is_silent = True

    def lose(self) -> None:
        self._is_silent = self._is_losing = True
        for side in self._sides():
            side.setsockopt(socket.SOL_SOCKET, _ATTACH, _FILTER)

    def forward(self) -> None:
        if self._is_losing:
            for side in self._sides():
                side.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
        self._is_silent = self._is_losing = False

    def _sides(self) -> list[socket.socket]:
        """The listener and the clients' ends."""
        found: list[socket.socket] = [key.fileobj for key in list(self._selector.get_map().values())]  # type: ignore[misc]
        return [side for side in found if side.family == socket.AF_INET]

    def __enter__(self) -> Proxy:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._waker.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _loop(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._alarm:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, key.data)  # type: ignore[arg-type]
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, source, target, data = self._under_way.popleft()
                self._deliver(source, target, data)

    def _patience(self) -> float | None:
        """Seconds until something arrives."""
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
        except OSError:
            client.close()
            server.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(client, selectors.EVENT_READ, server)
        self._selector.register(server, selectors.EVENT_READ, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            data = source.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._stop_reading(source)  # an end that is under way is not read again
        if self._latency and source.family == socket.AF_INET:
            self._under_way.append((time.monotonic() + self._latency, source, target, data))
        else:
            self._deliver(source, target, data)

    def _deliver(self, source: socket.socket, target: socket.socket, data: bytes) -> None:
        if data:
            if self._is_silent:
                return
            with suppress(OSError):
                target.sendall(data)
                return
        # An end travels too, but not through a hole.
        self._stop_reading(source)
        source.close()
        if not self._is_silent:
            self._stop_reading(target)
            target.close()

    def _stop_reading(self, side: socket.socket) -> None:
        """Also where it was closed meanwhile, by the other side's end."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(side)
