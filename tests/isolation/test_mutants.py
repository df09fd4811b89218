"""With a guard off, the test that is named for it fails: "no leak was found" means something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import settings as test_settings
from tests.isolation.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]

#: Each is a process of its own, so on the slower engine only those that show nowhere else.
HERE = {
    name: mutant for name, mutant in MUTANTS.items() if (mutant.engine or "sqlite") == test_settings.ENGINE
}


def run(test, mutant=""):
    """The exit status of pytest, and its last line."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        # A process of its own, with databases of its own.
        if not name.startswith(("FREEHOLD_TEST", "PYTEST_", "COV_", "COVERAGE_"))
    }
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "tests.isolation.mutants", "-p", "no:cacheprovider",
            "-p", "no:xdist", "-q", "-x", "--tb=line", test,
        ],
        cwd=ROOT,
        env=inherited | {"MUTANT": mutant, "TEST_DATABASE": test_settings.ENGINE},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", HERE)
def test_a_guard_that_is_off_is_noticed(name):
    code, output = run(HERE[name].test, name)
    # 1 is a test that failed. One that cannot be found or collected, or errs before it begins, is not.
    assert code == 1, output[-3000:]
    assert re.search(r"\b1 failed", output), output[-3000:]


def test_the_service_itself_passes():
    """The negative control's negative control: without a mutant, the same command passes."""
    code, output = run(next(iter(HERE.values())).test)
    assert code == 0, output[-3000:]


def test_there_are_enough_and_each_is_documented():
    assert len(MUTANTS) >= 12
    documented = (ROOT / "docs" / "isolation.md").read_text()
    for name, mutant in MUTANTS.items():
        assert f"`{name}`" in documented, name
        assert mutant.guard in documented, name
        assert mutant.test.split("[")[0].rpartition("::")[2] in documented, name
