"""Where mutants are tried: a process loads the project and its tests once, and forks for each test.

A fork starts with what was loaded and sees nothing that another did. On SQLite its databases are copies of
some that were migrated once; its folders are emptied before the next begins. ``Laboratory`` starts and asks
the process; the rest of this module runs in it.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.isolation.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]

#: Seconds a fork has. One that is stuck says where, and dies of a signal: no exit status of pytest's.
LIMIT = 60


class Laboratory:
    """``run()`` runs one test, on the service or on a mutant of it, in a process of its own."""

    def __init__(self, connection: Connection, output: Path) -> None:
        self._connection = connection
        self._output = output.open(errors="replace")

    @classmethod
    @contextmanager
    def opened(cls, files: Iterable[str], engine: str) -> Iterator[Laboratory]:
        """With the tests of some files loaded."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            # A process of its own, with databases of its own.
            if not name.startswith(("FREEHOLD_TEST", "PYTEST_", "COV_", "COVERAGE_"))
        }
        ours, theirs = multiprocessing.Pipe()  # when ours is closed it ends
        with tempfile.TemporaryDirectory() as folder, ours:
            output = Path(folder) / "output"
            with theirs, output.open("w") as stream:
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno()), folder, *sorted(set(files))],
                    cwd=ROOT,
                    env=inherited | {"TEST_DATABASE": engine},
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    pass_fds=[theirs.fileno()],
                )
            laboratory = cls(ours, output)
            try:
                yield laboratory
            finally:
                ours.close()  # it takes its folders and its server with it
                laboratory._output.close()
                try:
                    process.wait(LIMIT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise

    def run(self, test: str, mutant: str = "") -> tuple[int | None, str]:
        """The exit status of pytest (none if there is no answer; negative for a signal) and what it wrote."""
        status = None
        try:
            self._connection.send((test, mutant))
            if self._connection.poll(2 * LIMIT):
                status = self._connection.recv()
            else:
                self._connection.close()  # an answer that is late is not the next one's
        except (EOFError, OSError):
            pass  # it has ended: what it wrote says why
        return status, self._output.read()


class Forks:
    """A pytest plugin: in the place of running what was collected, fork for each test that is asked for."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection = connection
        self.databases = folder / "databases"
        self.is_fork = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        from tests.settings import ENGINE, FOLDER

        loaded = set(FOLDER.iterdir())
        gc.freeze()  # no fork looks for garbage in what is loaded, for which it would have to copy it
        if ENGINE == "sqlite" and self.fork() is None:
            self.make_databases(session)
            return True
        while True:
            try:
                test, mutant = self.connection.recv()
            except EOFError:
                return True
            status = self.fork()
            if status is None:
                self.prepare(session, test, mutant)
                return None  # pytest runs what is left
            for path in set(FOLDER.iterdir()) - loaded:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.connection.send(status)

    def fork(self) -> int | None:
        """None in the fork; its exit status where it comes from."""
        sys.stdout.flush()
        if pid := os.fork():
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status)
        self.is_fork = True
        atexit._clear()  # what is registered is not a fork's to end; what it registers itself is
        faulthandler.register(signal.SIGALRM, file=os.dup(2), chain=True)
        signal.alarm(LIMIT)
        return None

    def make_databases(self, session: pytest.Session) -> None:
        """In a fork, too: what it opens and starts is nobody else's."""
        from pytest_django.plugin import blocking_manager_key

        from tenancy import testing
        from tenancy.planes import CONTROL_ALIAS
        from tenancy.pool import pool
        from tenancy.registry import get_registry

        self.databases.mkdir()
        makers = [
            testing._maker(alias, self.databases)
            for alias in [CONTROL_ALIAS, *(tenant.id for tenant in get_registry())]
        ]
        with session.config.stash[blocking_manager_key].unblock():
            for maker in makers:
                maker.rename()
            testing._make_all(makers)
            for maker in makers:
                maker.connection.close()
            pool.discard_idle()

    def prepare(self, session: pytest.Session, test: str, mutant: str) -> None:
        """Leave one test to run, against a mutant."""
        from tenancy import testing

        begins = (f"{test}[", f"{test}::")
        session.items = [
            item for item in session.items if item.nodeid == test or item.nodeid.startswith(begins)
        ]
        session.testscollected = len(session.items)
        if not session.items:
            raise pytest.UsageError(f"{test} was not found.")
        if self.databases.exists():
            testing._make_all = self.copy_databases
        if mutant:
            MUTANTS[mutant].mutate()

    def copy_databases(self, makers: Iterable[Any]) -> None:
        for maker in makers:
            shutil.copyfile(self.databases / maker.file.name, maker.file)


def main(descriptor: str, folder: str, *files: str) -> int:
    forks = Forks(Connection(int(descriptor)), Path(folder))
    # The last three are plugins that take a while to load, and of which no mutant's test has need.
    without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "xdist", "pytest_cov", "schemathesis")]
    status = 1
    try:
        status = pytest.main(
            [*without, "-q", "-x", "--tb=line", f"--basetemp={folder}/tests", *files], plugins=[forks]
        )
    except BaseException:
        if not forks.is_fork:
            raise
        traceback.print_exc()
    if forks.is_fork:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status)  # nobody waits for Python to take down all that was loaded
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
