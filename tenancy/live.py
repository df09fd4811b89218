"""A registry that follows its tenants.yaml while the service runs.

Which thread does what: the thread that begins a request looks at the file's ``stat`` at most once a second,
and starts another that reads a changed file. Requests go on with what was good, unless this process was idle
(nobody looked for more than a second longer than usual): then it may be long out of date, and waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path

from tenancy import tenants_file
from tenancy.compiled import Compiled, Entries, Terms
from tenancy.compiler import Compiler
from tenancy.exceptions import TenantsFileError
from tenancy.private_folder import PrivateFolder
from tenancy.registry import Registry, get_source, registry_changed
from tenancy.tenant import Tenant

logger = logging.getLogger("tenancy.registry")

#: Seconds more than ``TENANCY_RELOAD_SECONDS`` after which a process that looked at nothing counts as idle.
IDLE_SECONDS = 1.0
#: Seconds that a request waits at most for a file to be read; then it is served by the last good one.
WAIT_SECONDS = 10.0
#: Seconds between two looks of an event loop at whether the file has been read.
ASYNC_SECONDS = 0.01
#: Nanoseconds within which two changes of a file may bear one time: the coarsest clock of a file system.
CLOCK_NS = 2_000_000_000
#: Seconds, and how often: a file that is not there, or changes while it is read, is soon looked at again.
SETTLE_SECONDS = 0.05
SETTLE_TIMES = 10
#: Tenants, or problems, that a record of the log names.
SHOWN = 20

#: What ``stat`` says of a file through all links; None when there is none.
Signature = tuple[int, ...] | None


class LiveRegistry:
    """Holds the registry of a file, and changes it for another, whole, when the file has changed.

    ``seconds`` is how often it looks, 0 for never. A file that is refused changes nothing but ``error``; one
    that was never good leaves an empty registry that says why, as ``Registry.load`` does.
    """

    def __init__(
        self,
        file: Path,
        terms: Terms,
        cache: Path,
        *,
        seconds: float = 1.0,
        max_bytes: int = tenants_file.MAX_FILE_BYTES,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.file = Path(os.path.abspath(file))  # noqa: PTH100  # resolve() would not follow a new link
        self.seconds = seconds
        self.max_bytes = max_bytes
        self.compiler = Compiler(PrivateFolder(cache), terms, environ)
        self.error: TenantsFileError | None = None
        self._known: dict[bytes, Tenant] = {}
        self._lines: dict[str, bytes] = {}
        self._told = ""
        self._told_at = 0.0
        self._started = False
        self._reader: threading.Thread | None = None
        self._looker: threading.Thread | None = None
        self.forget_threads()
        self._digest = b""  # of the content in use, and its folder; empty until there is one
        self._signature: Signature = ()  # of what was read last; () is no file's
        self.current = Registry({})
        self._read(first=True)
        self._started = True
        _registries.add(self)
        self._looked = time.monotonic()
        self._due = self._looked + seconds if seconds else float("inf")

    def forget_threads(self) -> None:
        self._lock = threading.Lock()
        self._reader = self._looker = None

    def is_due(self) -> bool:
        """Whether a request has to call ``refresh()``; costs a look at the clock."""
        return time.monotonic() >= self._due

    def refresh(self) -> None:
        """See whether the file has changed, and let a thread read it then. Never raises."""
        with self._lock:
            reader = self._reader
            if reader is None or not reader.is_alive():  # after a fork it is another process's
                reader = self._look()
            wait = self._due <= 0
        if reader is not None and wait:
            reader.join(WAIT_SECONDS)

    async def refresh_async(self) -> None:
        """The same in an event loop: a thread of its own looks at the file. Others may be busy with what an
        app gave them, and ``/livez`` must not wait for that."""
        if self._looker is None or not self._looker.is_alive():
            was_idle = self._was_idle()
            self._looker = threading.Thread(target=self.refresh, name="tenants.yaml?", daemon=True)
            try:
                self._looker.start()
            except RuntimeError:
                logger.exception("No thread can be started to look at tenants.yaml.")
                was_idle = False
            if not was_idle:
                self._due = time.monotonic() + self.seconds
        deadline = time.monotonic() + WAIT_SECONDS
        while self.is_due() and time.monotonic() < deadline:
            await asyncio.sleep(ASYNC_SECONDS)

    def _was_idle(self) -> bool:
        return time.monotonic() - self._looked > self.seconds + IDLE_SECONDS

    def _look(self) -> threading.Thread | None:
        now = time.monotonic()
        was_idle = self._was_idle()
        self._looked = now
        reader = None
        if self._signature != _signature(self.file):
            reader = threading.Thread(target=self._read_and_leave, name="tenants.yaml", daemon=True)
            try:
                reader.start()
            except RuntimeError:
                logger.exception("tenants.yaml has changed, and no thread can be started to read it.")
                reader = None
        self._reader = reader
        # Until it is read whoever comes has to wait as well. The reader changes this when it is done, which
        # takes the lock.
        self._due = 0.0 if reader is not None and was_idle else now + self.seconds
        return reader

    def _read_and_leave(self) -> None:
        try:
            self._read()
        finally:
            with self._lock:
                self._reader = None
                self._due = max(self._due, self._looked + self.seconds)

    def _read(self, *, first: bool = False) -> None:
        """Read the file when it holds still, and use what it says."""
        for turn in range(SETTLE_TIMES):
            last = turn == SETTLE_TIMES - 1
            signature = _signature(self.file)
            try:
                content = tenants_file.read_bytes(self.file, self.max_bytes)
            except TenantsFileError as exc:
                if first or last or signature is not None:
                    self._refuse(exc, told=str(exc))
                    break
            else:
                # What has changed while it was read may be half of one file and half of another.
                if last or signature == _signature(self.file):
                    # As it is now, and at the start as the whole disk is: see Compiler.compiled().
                    changed = max(signature[:2]) / 1e9 if signature and not first else time.time()
                    error = self._use(content, changed, apart=not first)
                    if error is None or last or signature == _signature(self.file):
                        break
            time.sleep(SETTLE_SECONDS)
        # Two changes within one tick of a file system's clock bear one time: such a file is read again at the
        # next look.
        self._signature = signature if _is_settled(signature) else ()

    def _use(self, content: bytes, changed: float, *, apart: bool) -> TenantsFileError | None:
        """Take what the content says, or tell why it is refused. ``changed`` is when it was written, or
        touched by somebody who wants it to be read again."""
        folder = self.file.resolve().parent
        digest = hashlib.sha256(content + bytes(str(folder), "utf-8", "surrogateescape")).digest()
        if digest == self._digest:
            if self.error is not None:
                logger.info("%s is again what it was before.", self.file.name)
            self.error, self._told = None, ""
            return None
        if digest.hex() == self._told and changed < self._told_at:
            return self.error
        compiled = self.compiler.compiled(content, folder, apart=apart, since=changed)
        if compiled.problems:
            error = TenantsFileError(self.file.name, compiled.problems)
            self._refuse(error, told=digest.hex())
            return error
        self._swap(compiled, hashlib.sha256(content).hexdigest()[:12])
        self._digest = digest
        return None

    def _refuse(self, error: TenantsFileError, *, told: str) -> None:
        self.error = error
        self._told_at = time.time()
        if not self._digest:
            self.current = Registry({}, error=error)
        if told == self._told:
            return
        self._told = told
        if self._started:  # at the start whoever asks for a tenant is told, and `tenants check`
            kept = f"generation {self.current.generation} is kept" if self._digest else "none was ever valid"
            lines = [problem.describe(error.file) for problem in error.problems[:SHOWN]]
            logger.error("%s is refused, and %s: %s", self.file.name, kept, "\n".join(lines))

    def _swap(self, compiled: Compiled, generation: str) -> None:
        """Put another registry in the place of the one in use, at once, and say what is different."""
        before, after = self._lines, compiled.lines
        environ = self.compiler.environ
        is_first = not self._digest
        self._lines = after
        entries = Entries(after, environ=environ, known=self._known)
        self.current = Registry(entries, generation=generation, hosts=compiled.hosts)
        self.error = None
        self._told = ""
        for line, tenant in list(self._known.items()):
            if after.get(tenant.id) != line:
                self._known.pop(line, None)
        added, removed = frozenset(after.keys() - before.keys()), frozenset(before.keys() - after.keys())
        changed = frozenset(dict(after.items() - before.items())) - added
        if is_first and not self._started:
            return
        # Half of a file may be a valid one, with fewer tenants.
        logger.log(
            logging.WARNING if removed else logging.INFO,
            "%s is valid, generation %s: added %s; removed %s; changed %s.",
            self.file.name,
            generation,
            *map(_names, (added, removed, changed)),
        )
        registry_changed.send_robust(
            type(self), registry=self.current, added=added, removed=removed, changed=changed
        )


_registries: weakref.WeakSet[LiveRegistry] = weakref.WeakSet()


def _start_anew() -> None:
    """In a process that was forked: its parent's threads are not here to let go of a lock."""
    for registry in _registries:
        registry.forget_threads()


os.register_at_fork(after_in_child=_start_anew)


def _names(ids: frozenset[str]) -> str:
    shown = ", ".join(sorted(ids)[:SHOWN]) or "none"
    return shown if len(ids) <= SHOWN else f"{shown} and {len(ids) - SHOWN} more"


def _signature(file: Path) -> Signature:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino, facts.st_dev


def _is_settled(signature: Signature) -> bool:
    return signature is None or abs(time.time_ns() - max(signature[:2])) > CLOCK_NS


def refresh() -> None:
    """Called where a request begins, in a thread that may wait."""
    source = get_source()
    if source.is_due():
        source.refresh()


async def refresh_async() -> None:
    """The same in an event loop."""
    source = get_source()
    if source.is_due():
        await source.refresh_async()
