from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.proxy import Proxy


@pytest.fixture
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The path of a server that says everything twice."""
    path = str(Path(tmp_path_factory.mktemp("echo")) / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(1000):
                    connection.sendall(data * 2)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def ask(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(1000)


def test_it_forwards_both_ways(echo: str):
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        assert ask(client, b"ab") == b"abab"


def test_a_server_that_hangs_accepts_and_stays_silent(echo: str):
    with (
        Proxy(echo) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as warm,
    ):
        assert ask(warm, b"a") == b"aa"
        proxy.hang()
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as cold:
            for client in (warm, cold):
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    ask(client, b"b")
        proxy.forward()
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
            assert ask(client, b"c") == b"cc"


def test_a_network_that_loses_packets_acknowledges_nothing(echo: str):
    with (
        Proxy(echo) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as warm,
    ):
        assert ask(warm, b"a") == b"aa"
        proxy.lose()
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", proxy.port), 0.1)
        warm.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
        # The kernel gives up, and says so: nobody else could.
        with pytest.raises(TimeoutError) as caught:
            ask(warm, b"b")
        assert caught.value.errno == errno.ETIMEDOUT
        proxy.forward()
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
            assert ask(client, b"c") == b"cc"


def test_a_server_that_is_gone_is_an_end_at_once(tmp_path: Path):
    with (
        Proxy(str(tmp_path / "nobody")) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as client,
    ):
        assert client.recv(1) == b""
