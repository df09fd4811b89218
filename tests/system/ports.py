"""Ports on 127.0.0.1 for servers that tests start."""

from __future__ import annotations

import socket
import subprocess
import time


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Until the process listens. Raises ``OSError`` when it has ended, or takes ten seconds."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
