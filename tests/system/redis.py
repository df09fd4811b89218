"""A real Redis, which keeps nothing."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager

from tests.system.ports import free_port, wait_for

PROGRAM = shutil.which("redis-server") or "/usr/bin/redis-server"


@contextmanager
def running(folder):
    """Its URL."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [PROGRAM, *options, "--dir", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(process, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
