"""The servers under test, each a process of its own on a port of the loopback address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

KINDS = ("wsgi", "asgi")
THREADS = 8
#: Seconds to start, and to stop.
_START, _STOP = 30, 20


class ServerFailed(Exception):
    """It did not start, or did not stop as it should. The message ends with the end of its log."""


@dataclass(frozen=True)
class Server:
    port: int
    log: Path
    process: subprocess.Popen[bytes]


class SmallService:
    """A service with a folder of its own: SQLite, and nothing in it yet."""

    def __init__(self, folder: Path, tenants: Iterable[str], **more: str) -> None:
        self.folder = folder
        entries = [
            f"  {name}: {{name: {name.title()}, url: 'sqlite:///{name}.sqlite3'}}\n" for name in tenants
        ]
        (folder / "tenants.yaml").write_text("version: 1\ntenants:\n" + "".join(entries))
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ},
            "DEBUG": "1",
            "TENANTS_FILE": str(folder / "tenants.yaml"),
            "TENANCY_CACHE_DIR": str(folder),
            "CONTROL_DATABASE_URL": f"sqlite:///{folder / 'control.sqlite3'}",
            "JWT_KEYS_DIR": str(folder / "keys"),
            **more,
        }

    def manage(self, *arguments: str) -> str:
        """What ``manage.py`` prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def serve(
    kind: str, folder: Path, environment: Mapping[str, str], *, application: str = ""
) -> Iterator[Server]:
    """gunicorn with threads, or uvicorn, until the block ends. Raises ``ServerFailed``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *_command(kind, port, application)],
            cwd=ROOT,
            env={**environment, "WEB_THREADS": str(THREADS), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            # A Ctrl-C is for us; we stop the server when its clients are gone.
            start_new_session=True,
        )
    try:
        _wait_until_it_serves(process, port, log)
        yield Server(port, log, process)
        if process.poll() is not None:
            raise ServerFailed(f"The server ended by itself, with {process.returncode}.{_tail(log)}")
    finally:
        _stop(process)
    # uvicorn, when told to stop, ends by the signal itself.
    if process.returncode not in (0, -signal.SIGTERM):
        raise ServerFailed(f"The server ended with {process.returncode}.{_tail(log)}")


def _command(kind: str, port: int, application: str) -> list[str]:
    if kind == "wsgi":
        application = application or "project.wsgi"
        return ["gunicorn", application, "--config", "python:project.gunicorn", "--bind", f"127.0.0.1:{port}"]
    application = application or "project.asgi:application"
    options = ["--lifespan", "off", "--no-access-log", "--timeout-graceful-shutdown", "10"]
    return ["uvicorn", application, "--host", "127.0.0.1", "--port", str(port), *options]


def _wait_until_it_serves(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            break
        except OSError:
            time.sleep(0.1)  # nothing to wait on: the server is another process
    raise ServerFailed(f"The server did not start.{_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
    finally:
        # Its workers too, should it have left any.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path) -> str:
    return f" The end of its log:\n{log.read_text(errors='replace')[-4000:]}"
