"""A folder of files that can be made again, which nobody but this user can read or have written."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

logger = logging.getLogger("tenancy.registry")

#: Seconds that a lock is waited for. Whoever gets none goes on without: it saves work, and guards nothing.
LOCK_SECONDS = 75.0
#: Seconds after which the half-written file of a process that died is taken away.
LEFT_OVER_SECONDS = 3600.0


class PrivateFolder:
    """Keeps files of mode 0600. One that cannot be written is no error: one warning, and nothing is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._warned = False

    def read(self, name: str) -> bytes | None:
        """What is in the file; None when there is none, or when somebody else could have written it."""
        try:
            # Not blocking: a pipe in its place would wait for a writer.
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return self._read(name, descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            return None

    def _read(self, name: str, descriptor: int) -> bytes | None:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            logger.warning("%s is not ours alone, so it is not used.", self.path / name)
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read()

    def changed_at(self, name: str) -> float:
        """When it was written, on ``time.time()``'s clock; 0 when it is not there."""
        try:
            return (self.path / name).stat().st_mtime
        except OSError:
            return 0.0

    def write(self, name: str, data: bytes) -> None:
        """Put the file there, whole or not at all."""
        draft = self.path / f".{name}.{token_hex(8)}"
        try:
            self._make()
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                draft.replace(self.path / name)
            except OSError:
                draft.unlink(missing_ok=True)
                raise
        except OSError as exc:
            self._warn(exc)

    def prune(self, pattern: str, keep: int) -> None:
        """Leave the newest ``keep`` of the files that match, and no drafts of processes that died."""
        with suppress(OSError):
            files = sorted(self.path.glob(pattern), key=_age)
            left = [draft for draft in self.path.glob(f".{pattern}.*") if _age(draft) > LEFT_OVER_SECONDS]
            for file in (*files[keep:], *left):
                file.unlink(missing_ok=True)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Let one process at a time into the block, as far as the folder can be written and locked."""
        try:
            self._make()
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.path / name, flags, 0o600)
        except OSError as exc:
            self._warn(exc)
            yield
            return
        try:
            _wait_for(descriptor)
            yield
        finally:
            os.close(descriptor)  # unlocks, too

    def is_writable(self) -> bool:
        """Whether files can be kept here, as far as can be told without trying."""
        place = next((place for place in (self.path, *self.path.parents) if place.exists()), self.path)
        return place.is_dir() and os.access(place, os.W_OK | os.X_OK)

    def _make(self) -> None:
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _warn(self, exc: OSError) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "Nothing can be kept in %s (%s), so every process reads tenants.yaml anew. Make it writable, "
                "or set TENANCY_CACHE_DIR.",
                self.path,
                exc.strerror,
            )


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return float("inf")


def _wait_for(descriptor: int) -> None:
    """Not a blocking lock, which waits for ever for a process that hangs. A file system without locks is
    one without."""
    until = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            return
        else:
            return
