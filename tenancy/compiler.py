"""Makes the compiled registry, once for all processes, and where it takes long in one of its own.

``python -m tenancy.compiler`` is that process. It gets all it needs through its standard input (nothing that
others could see in a list of processes), gives way to every other process, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

from tenancy.compiled import Compiled, Terms, seal, unseal
from tenancy.private_folder import PrivateFolder

logger = logging.getLogger("tenancy.registry")

#: Seconds that a compiling process may take.
SECONDS = 60
#: Below this size reading a file takes less time (50 ms) than starting a process to do it.
SMALL = 64 * 1024
#: How many compiled files stay: one for each way in which the folder's processes are configured.
KEPT = 4


class Compiler:
    """Turns the content of a tenants.yaml into what it says, or takes it from the folder."""

    def __init__(self, folder: PrivateFolder, terms: Terms, environ: Mapping[str, str] = os.environ) -> None:
        self.folder = folder
        self.terms = terms
        self.environ = environ

    def compiled(self, content: bytes, folder: Path, *, apart: bool, since: float) -> Compiled:
        """What ``content`` says, read from a file in ``folder``. ``apart`` compiles a large one in another
        process, so that this one's other threads go on; where that fails, here.

        A refusal is believed if it is younger than ``since`` (on ``time.time()``'s clock): it may come from
        what else is on the disk, as a link that has made one database of two.
        """
        digest = self.terms.digest(content, folder)
        name = f"tenants-{digest.hex()[:32]}.compiled"
        if found := self._kept(name, digest, since):
            return found
        with self.folder.locked("tenants.lock"):
            if found := self._kept(name, digest, since):
                return found  # another process made it while this one waited
            sealed, found = self._made(content, folder, digest, apart=apart and len(content) > SMALL)
            self.folder.write(name, sealed)
            self.folder.prune("tenants-*.compiled", KEPT)
        return found

    def _kept(self, name: str, digest: bytes, since: float) -> Compiled | None:
        sealed = self.folder.read(name)
        found = None if sealed is None else unseal(sealed, digest, self.terms, self.environ)
        if found is not None and found.problems and self.folder.changed_at(name) <= since:
            return None
        return found

    def _made(self, content: bytes, folder: Path, digest: bytes, *, apart: bool) -> tuple[bytes, Compiled]:
        if apart:
            sealed = _compile_apart(content, folder, self.terms)
            if found := unseal(sealed, digest, self.terms, self.environ):
                return sealed, found
            logger.warning("The process that compiles tenants.yaml failed; it is compiled in a thread.")
        sealed = seal(content, folder, self.terms, self.environ)
        found = unseal(sealed, digest, self.terms, self.environ)
        return sealed, cast(Compiled, found)  # sealed a moment ago with the same key


def _compile_apart(content: bytes, folder: Path, terms: Terms) -> bytes:
    """What the other process made of it; nothing when it could not be started, failed or took too long."""
    if not sys.executable:
        return b""  # embedded in a server that is no Python
    order = {
        "name": terms.name,
        "folder": str(folder),
        "production": terms.production,
        "control": terms.control,
        "secret": terms.secret,
        "length": len(content),
    }
    try:
        # It has to find the same code, wherever it was found here, and none in the working folder.
        path = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        with subprocess.Popen(  # our own program, without arguments
            [sys.executable, "-m", "tenancy.compiler"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # a terminal's Ctrl-C is for the server, which then ends it
        ) as process:
            return _ask(process, json.dumps(order).encode() + b"\n" + content)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no thread could be started to watch it
        return b""


def _ask(process: subprocess.Popen[bytes], order: bytes) -> bytes:
    questions, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    watch = threading.Timer(SECONDS, process.kill)
    watch.daemon = True
    watch.start()
    try:
        questions.write(order)
        questions.flush()
        # Its standard input stays open while we live: when it is closed, the process ends itself.
        answer = answers.read()
        return answer if process.wait() == 0 else b""
    finally:
        watch.cancel()
        process.kill()
        with contextlib.suppress(OSError):
            questions.close()


def main() -> None:
    """The compiling process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    with contextlib.suppress(OSError):
        os.nice(10)
    gc.disable()  # a tenth of the time, and the memory is given back in a second
    order = json.loads(sys.stdin.buffer.readline())
    content = sys.stdin.buffer.read(order.pop("length"))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = Path(order.pop("folder"))
    sys.stdout.buffer.write(seal(content, folder, Terms(**order), os.environ))


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main()
