"""Writing the ledger of a run while it runs, and holding the lock that keeps a second one out."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.db import DatabaseError, IntegrityError, close_old_connections
from django.db.models.functions import Now
from django.utils import timezone

from tenancy.account import account_name
from tenancy.exceptions import TenancyError
from tenancy.ledger.models import Entry, Run
from tenancy.rows import add_rows
from tenancy.transactions import control_atomic

logger = logging.getLogger("tenancy.fleet")

#: Seconds between two signs of life; and after which a run without one has crashed.
BEAT, SILENCE = 5.0, 30.0
#: Seconds that entries may wait to be written.
DELAY = 1.0


class RunLocked(TenancyError):
    """Another run of the kind is under way."""

    def __init__(self, run: Run) -> None:
        self.run = run
        number, _, _ = run.process.partition(" ")
        super().__init__(
            f"Another run holds the lock: {run.user}@{run.host}, process {number}, since "
            f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC. Wait for it, or end it; one that crashed is taken "
            f"over {SILENCE:.0f} seconds after its last sign of life."
        )


class Journal:
    """The ledger of one run, as a context manager; it holds the lock of its kind.

    ``note()`` in one thread. Raises ``RunLocked`` on entering. When somebody else takes the run for crashed,
    ``on_lost`` is called, in a thread of the journal's own.
    """

    def __init__(self, kind: str, target: str, tenants: int, on_lost: Callable[[], None]) -> None:
        self.run = Run(kind=kind, target=target, tenants=tenants, **_who())
        self.outcome: str = Run.Outcome.OK
        self._on_lost = on_lost
        self._noted = 0
        #: Entries that wait to be written.
        self._waiting: list[dict[str, Any]] = []
        self._written = time.monotonic()
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="journal", daemon=True)

    def __enter__(self) -> Self:
        _take_over_crashed(self.run.kind)
        try:
            self._begin()
        except IntegrityError as exc:
            holder = Run.objects.filter(kind=self.run.kind, ended_at=None).first()
            if holder is not None:
                raise RunLocked(holder) from exc
            self._begin()  # it has just ended
        self._heart.start()
        return self

    def _begin(self) -> None:
        self.run.heard_at = Now()
        with control_atomic():
            self.run.save(force_insert=True)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop.set()
        self._heart.join()
        if exc_type is not None:
            self.outcome = Run.Outcome.INTERRUPTED
        self._write()
        if self._waiting:
            logger.error("%d entries of the ledger could not be written.", len(self._waiting))
        mine = Run.objects.filter(pk=self.run.pk, ended_at=None)
        mine.update(ended_at=timezone.now(), outcome=self.outcome)

    def note(self, **facts: Any) -> None:
        self._noted += 1
        known = {"run_id": self.run.pk, "number": self._noted, "ended_at": timezone.now()}
        self._waiting.append(facts | known)
        if time.monotonic() - self._written > DELAY:
            self._write()

    def _write(self) -> None:
        try:
            # Some may be there: of a commit whose answer was lost, or that Ctrl-C broke off.
            add_rows(Entry, self._waiting, ignore_conflicts=True)
        except DatabaseError as exc:
            # The run goes on: what was done is in each database. These are tried again with the next ones.
            logger.warning("%d entries of the ledger are not written yet: %s", len(self._waiting), exc)
        else:
            self._waiting = []
        finally:
            self._written = time.monotonic()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                is_ours = Run.objects.filter(pk=self.run.pk, ended_at=None).update(heard_at=Now())
            except DatabaseError:
                continue  # the next beat may get through; after a silence that is too long, the run is lost
            finally:
                close_old_connections()
            if not is_ours:
                self._on_lost()
                return


def _take_over_crashed(kind: str) -> None:
    open_runs = Run.objects.filter(kind=kind, ended_at=None)
    crashed = {"ended_at": timezone.now(), "outcome": Run.Outcome.CRASHED}
    open_runs.filter(heard_at__lt=Now() - timedelta(seconds=SILENCE)).update(**crashed)
    for run in open_runs:
        if _is_dead(run):
            open_runs.filter(pk=run.pk).update(**crashed)


def _who() -> dict[str, str]:
    return {
        "user": account_name(),
        "host": socket.gethostname(),
        "process": f"{os.getpid()} {_namespace()}".strip(),
    }


def _namespace() -> str:
    """Which numbers of processes are meant: containers of one name each have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _is_dead(run: Run) -> bool:
    """Whether its process was on this machine, and is no more."""
    number, _, namespace = run.process.partition(" ")
    if run.host != socket.gethostname() or namespace != _namespace():
        return False
    try:
        with suppress(PermissionError):  # somebody else's, and alive
            os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    return False
