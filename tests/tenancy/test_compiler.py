"""The compiler: one process compiles, the others take what it made, and no failure of it is theirs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tenancy import compiler
from tenancy.compiled import Terms, seal
from tenancy.compiler import Compiler
from tenancy.private_folder import PrivateFolder

ROOT = Path(__file__).resolve().parents[2]
TERMS = Terms("tenants.yaml", production=True, control=None, secret="the-key-of-the-seal")
VARIABLE = "FREEHOLD_TEST_PW"


def content(tenants):
    """A file of so many tenants; 1,000 are large enough for a process of their own."""
    return (b"version: 1\ntenants:\n") + b"".join(
        f"  t-{number}: {{name: T, url: 'postgres://t:${{{VARIABLE}}}@db1.internal/tenant_{number}'}}\n".encode()
        for number in range(tenants)
    )


SMALL, LARGE = content(3), content(1000)
BROKEN = LARGE + b"  t-0: {name: again}\n"


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv(VARIABLE, "secret")


@pytest.fixture
def folder(tmp_path):
    return PrivateFolder(tmp_path / "compiled")


@pytest.fixture
def made(monkeypatch):
    """How often it was compiled, and where: ``here`` or ``apart``."""
    made = []
    apart = compiler._compile_apart
    monkeypatch.setattr(compiler, "seal", lambda *args: made.append("here") or seal(*args))
    monkeypatch.setattr(compiler, "_compile_apart", lambda *args: made.append("apart") or apart(*args))
    return made


def compile_it(folder, data=SMALL, *, apart=True, terms=TERMS, since=0.0, **options):
    return Compiler(folder, terms, **options).compiled(data, ROOT, apart=apart, since=since)


def files(folder):
    return sorted(folder.path.glob("*.compiled"))


def test_it_compiles_once_and_then_takes_what_is_there(folder, made):
    assert list(compile_it(folder).lines) == ["t-0", "t-1", "t-2"]
    assert compile_it(folder) == compile_it(folder)
    assert made == ["here"]
    assert len(files(folder)) == 1


def test_a_large_file_is_compiled_in_a_process_of_its_own(folder, made):
    here = compile_it(PrivateFolder(folder.path / "other"), LARGE, apart=False)
    assert made == ["here"]
    assert compile_it(folder, LARGE) == here
    assert made == ["here", "apart"]
    assert len(here.lines) == 1000


def test_a_refusal_crosses_from_that_process_and_is_kept_as_well(folder, made):
    found = compile_it(folder, BROKEN)
    assert found.lines == {}
    assert [problem.line for problem in found.problems] == [1003]
    assert compile_it(folder, BROKEN) == found
    assert made == ["apart"]


def test_a_refusal_that_is_older_than_somebodys_touch_is_not_believed(folder, made):
    found = compile_it(folder, BROKEN)
    compiled_at = files(folder)[0].stat().st_mtime
    assert compile_it(folder, BROKEN, since=compiled_at - 1) == found
    assert compile_it(folder, BROKEN, since=compiled_at) == found
    assert made == ["apart", "apart"]


def test_what_was_accepted_is_believed_however_old(folder, made):
    compile_it(folder)
    compile_it(folder, since=files(folder)[0].stat().st_mtime + 3600)
    assert made == ["here"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(os.urandom(3000)),
        lambda file: file.chmod(0o644),
        lambda file: file.unlink(),
    ],
    ids=["empty", "cut off", "garbage", "open to others", "gone"],
)
def test_a_damaged_file_is_made_anew(folder, made, damage):
    before = compile_it(folder)
    [file] = files(folder)
    whole = file.read_bytes()
    damage(file)
    assert compile_it(folder) == before
    assert made == ["here", "here"]
    [file] = files(folder)
    assert file.read_bytes() == whole
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_environment_makes_its_own(folder, made, monkeypatch):
    compile_it(folder)
    monkeypatch.setenv(VARIABLE, "other")
    compile_it(folder)
    assert made == ["here", "here"]


def test_production_and_development_share_nothing(folder, made):
    text = SMALL.replace(f"${{{VARIABLE}}}".encode(), b"plain")
    development = Terms("tenants.yaml", production=False, control=None, secret=TERMS.secret)
    assert len(compile_it(folder, text, terms=development).lines) == 3
    assert compile_it(folder, text).problems
    assert len(compile_it(folder, text, terms=development).lines) == 3
    assert made == ["here", "here"]


def test_old_files_go(folder):
    for number in range(compiler.KEPT + 3):
        compile_it(folder, content(number))
    assert len(files(folder)) == compiler.KEPT


def test_a_folder_that_cannot_be_written_is_only_slower(tmp_path, made):
    (tmp_path / "file").touch()
    folder = PrivateFolder(tmp_path / "file")
    assert len(compile_it(folder).lines) == 3
    assert len(compile_it(folder, LARGE).lines) == 1000
    assert made == ["here", "apart"]


# Processes that start at once.

PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from tenancy import compiler
from tests.tenancy.test_compiler import LARGE, ROOT, TERMS
made = compiler.seal
compiler.seal = lambda *args: print("compiled", flush=True) or made(*args)
sys.stdin.readline()
folder = compiler.PrivateFolder(Path(sys.argv[1]))
found = compiler.Compiler(folder, TERMS).compiled(LARGE, ROOT, apart=False, since=0)
print(len(found.lines))
"""


def test_of_processes_that_start_at_once_one_compiles(folder):
    command = [sys.executable, "-c", PROGRAM, str(folder.path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(4)
    ]
    time.sleep(0)  # they wait for a line, and get it together
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0].split() for process in processes]
    assert [words[-1] for words in said] == ["1000"] * 4
    assert sum(words.count("compiled") for words in said) == 1


def test_threads_of_one_process_share_the_lock(folder, made):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(len(compile_it(folder, LARGE, apart=False).lines)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1000] * 4
    assert made == ["here"]


# The compiling process fails.


@pytest.mark.parametrize(
    "program",
    [None, "", "/no/such/python", "/bin/false", "/bin/true", "/bin/cat"],
    ids=["none", "empty", "missing", "fails", "says nothing", "says something else"],
)
def test_without_a_good_process_it_is_compiled_here(folder, made, monkeypatch, program, caplog):
    monkeypatch.setattr(sys, "executable", program)
    assert len(compile_it(folder, LARGE).lines) == 1000
    assert made == ["apart", "here"]
    assert "it is compiled in a thread" in caplog.text


def test_a_process_that_hangs_is_ended(folder, made, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(compiler, "SECONDS", 1)
    assert len(compile_it(folder, LARGE).lines) == 1000
    assert made == ["apart", "here"]
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_no_thread_to_watch_it_is_no_process(folder, made, monkeypatch):
    class NoThread(threading.Timer):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(compiler.threading, "Timer", NoThread)
    assert len(compile_it(folder, LARGE).lines) == 1000
    assert made == ["apart", "here"]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_process_ends_with_its_parent():
    """A worker that is killed leaves nobody behind: its end of the pipe is closed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tenancy.compiler"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with process:
        data = content(20_000)  # so much that it is at work for seconds
        order = {"name": "x", "folder": "/", "production": True, "control": None, "secret": "x"}
        process.stdin.write(json.dumps(order | {"length": len(data)}).encode() + b"\n" + data)
        process.stdin.close()
        assert process.wait(timeout=30) == 1
        assert process.stdout.read() == b""


def test_the_process_has_a_limit_of_its_own(monkeypatch):
    seen = []
    monkeypatch.setattr(compiler.signal, "alarm", seen.append)
    monkeypatch.setattr(compiler.signal, "signal", lambda *args: seen.append(args))
    monkeypatch.setattr(compiler.os, "nice", seen.append)
    monkeypatch.setattr(compiler.gc, "disable", lambda: None)
    monkeypatch.setattr(compiler.sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    with pytest.raises(ValueError, match="Expecting value"):
        compiler.main()
    assert seen == [(signal.SIGALRM, signal.SIG_DFL), compiler.SECONDS, 10]


def test_the_process_shows_no_secret_in_its_arguments(folder, monkeypatch):
    seen = []
    popen = subprocess.Popen

    def noted(*arguments, **options):
        seen.append((arguments, options))
        return popen(*arguments, **options)

    monkeypatch.setattr(compiler.subprocess, "Popen", noted)
    compile_it(folder, LARGE)
    [(arguments, options)] = seen
    assert TERMS.secret not in str(arguments)
    assert TERMS.secret not in str(options["env"])
