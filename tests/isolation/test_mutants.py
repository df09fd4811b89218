"""With a guard off, the test that is named for it fails: "no leak was found" means something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import settings as test_settings
from tests.isolation.laboratory import Laboratory
from tests.isolation.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]

#: On the slower engine only those that show nowhere else.
HERE = {
    name: mutant for name, mutant in MUTANTS.items() if (mutant.engine or "sqlite") == test_settings.ENGINE
}


@pytest.fixture(scope="module")
def laboratory():
    files = {mutant.test.partition("::")[0] for mutant in HERE.values()}
    with Laboratory.opened(files, test_settings.ENGINE) as laboratory:
        yield laboratory


@pytest.mark.parametrize("name", HERE)
def test_a_guard_that_is_off_is_noticed(laboratory, name):
    status, output = laboratory.run(HERE[name].test, name)
    # 1 is a test that failed. One that cannot be found or collected, or errs before it begins, is not.
    assert status == 1, output[-3000:]
    assert re.search(r"\b1 failed", output), output[-3000:]


def test_the_service_itself_passes(laboratory):
    """The negative control's negative control: without a mutant, the same way passes."""
    status, output = laboratory.run(next(iter(HERE.values())).test)
    assert status == 0, output[-3000:]


def test_what_cannot_be_tried_is_not_noticed(laboratory):
    test = next(iter(HERE.values())).test
    assert (
        laboratory.run("tests/tenancy/test_no_such_file.py::test_nothing")[0] == pytest.ExitCode.USAGE_ERROR
    )
    assert laboratory.run(test, "no-such-mutant")[0] == pytest.ExitCode.INTERNAL_ERROR


def test_there_are_enough_and_each_is_documented():
    assert len(MUTANTS) >= 12
    documented = (ROOT / "docs" / "isolation.md").read_text()
    for name, mutant in MUTANTS.items():
        assert f"`{name}`" in documented, name
        assert mutant.guard in documented, name
        assert mutant.test.split("[")[0].rpartition("::")[2] in documented, name
