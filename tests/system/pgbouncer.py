"""A real PgBouncer, in transaction mode, in front of the tests' PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tests.system.ports import free_port, wait_for

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"

#: Sessions that it keeps with the server, for each database: fewer than its clients in every test.
SESSIONS = 2


@contextmanager
def running(folder: Path, server: str, databases: list[str], port: int = 5432):
    """Its port on 127.0.0.1. ``server`` is the folder of the server's socket."""
    own_port = free_port()
    lines = [f"{name} = host={server} port={port} dbname={name} user=postgres" for name in databases]
    config = folder / "pgbouncer.ini"
    config.write_text(
        "\n".join(
            [
                "[databases]",
                *lines,
                "[pgbouncer]",
                "listen_addr = 127.0.0.1",
                f"listen_port = {own_port}",
                "unix_socket_dir =",
                "auth_type = any",
                "pool_mode = transaction",
                f"default_pool_size = {SESSIONS}",
                "max_client_conn = 200",
                "server_lifetime = 60",
                "log_connections = 0",
                "log_disconnections = 0",
            ]
        )
        + "\n"
    )
    command = [PROGRAM, "-q", str(config)]
    if os.geteuid() == 0:  # it refuses to be root; the user who owns the server may go where its socket is
        folder.chmod(0o755)
        command[1:1] = ["-u", owner_of(server)]
    process = subprocess.Popen(command)
    try:
        wait_for(process, own_port)
        yield own_port
    finally:
        process.terminate()
        process.wait(10)


def owner_of(folder: str) -> str:
    return next(Path(folder).glob(".s.PGSQL.*")).owner()
