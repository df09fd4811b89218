"""A benchmark is run by hand, and seldom: that one still begins is seen here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: As ``python -m benchmarks`` makes it: in a process that has no settings of Django's.
BEGIN = """
import subprocess, sys
from benchmarks.stage import Stage
stage = Stage()
guests = stage.guests("ours")
environment = stage.environment("benchmarks.fleet_settings", TENANTS_FILE=str(stage.tenants_file(1)))
work = "import django; django.setup(); from benchmarks.migrator import ours; print(*ours('f'))"
subprocess.run([sys.executable, "-c", work], env=environment, check=True)
print(len(guests), guests[0].tenant_id, guests[0].token.count("."))
"""


def test_the_stage_of_all_benchmarks_can_be_set():
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-6:] == ["first", "nothing", "column", "50", "t00000", "2"]
