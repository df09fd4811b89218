"""No tenant's data reaches another, and no acknowledged write is lost, whatever many clients do at once.

Runs on PostgreSQL only, with a server, a database and settings of its own: each test is one command.
``SWARM_REQUESTS`` changes the number of requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import settings as test_settings
from tests.swarm import report
from tests.swarm.servers import ROOT

pytestmark = pytest.mark.skipif(
    test_settings.ENGINE != "postgresql", reason="The swarm starts a PostgreSQL of its own, and runs once."
)

REQUESTS = int(os.environ.get("SWARM_REQUESTS", "20000"))
#: Of a server that leaks: enough to be found out.
FEW = 300


def swarm(folder: Path, *arguments: str) -> tuple[int, list[dict], str]:
    """The exit status, a report for each server, and what was printed."""
    figures, output = folder / "figures.json", folder / "output.txt"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.swarm", *arguments, "--json", str(figures)],
            cwd=ROOT,
            # Nothing of these tests' own settings: the swarm has others.
            env={name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait()  # the swarm itself gives up when it is too slow
        finally:
            # When these tests are interrupted; it ends its servers by itself.
            process.terminate()
            process.wait()
    printed = output.read_text()
    assert figures.exists(), printed
    return process.returncode, json.loads(figures.read_text()), printed


def test_every_database_ends_with_its_own_data_and_nothing_else(tmp_path):
    code, (found,), printed = swarm(tmp_path, "--requests", str(REQUESTS))
    assert (code, found["problems"]) == (0, {}), printed
    # What was not tried was not found out.
    for server, leaving in (("wsgi", 0.03), ("asgi", 0.18)):
        figures = found["servers"][server]
        assert figures["requests"] >= REQUESTS // 2
        assert figures["left"] > leaving * figures["requests"]
        for op in ("export", "search own", "read equal key", "change product", "raise counter"):
            assert figures["by_op"][op]["200"] > 0
    assert found["lost_writes"]["found"] > 0


@pytest.mark.parametrize(
    ("server", "leaks"),
    [
        (
            "wsgi",
            {
                "context": {report.LEAK, report.WRONG, report.STORED, report.LOST, report.EXTRA},
                "cache": {report.LEAK},
                "header": {report.LEAK},
                "rollback": {report.LOST},
                "log": {report.LOG},
            },
        ),
        ("asgi", {"context": {report.LEAK, report.WRONG, report.STORED, report.LOST, report.EXTRA}}),
    ],
    ids=["wsgi", "asgi"],
)
def test_a_server_that_leaks_is_found_out(tmp_path, server, leaks):
    arguments = ["--requests", str(FEW), "--server", server, "--leaks", ",".join(leaks), "--seed", "1"]
    code, reports, printed = swarm(tmp_path, *arguments)
    assert code == 1
    assert len(reports) == len(leaks)
    for found, kinds in zip(reports, leaks.values(), strict=True):
        assert set(found["problems"]) >= kinds, f"{found['name']} was not seen to leak.\n{printed}"
