"""Upper packages import lower ones, never the reverse; and the tool that says so can say no."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FALSE_CONTRACT = """
[tool.importlinter]
root_packages = ["users", "tenancy"]

[[tool.importlinter.contracts]]
name = "Upside down"
type = "layers"
layers = ["tenancy", "users"]
"""


def lint(config):
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
            "--config",
            str(config),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_layers_are_kept():
    done = lint(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("config", [FALSE_CONTRACT], ids=["upside down"])
def test_a_layer_that_is_broken_is_seen(tmp_path, config):
    (tmp_path / "pyproject.toml").write_text(config)
    done = lint(tmp_path / "pyproject.toml")
    assert done.returncode == 1
    assert "0 kept, 1 broken" in done.stdout
    assert "users.authentication" in done.stdout
