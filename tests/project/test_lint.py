"""What a reviewer would have to see is refused by tools: short forms that mean the default database."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("project", "catalog", "users", "tenancy")

#: Choosing a database by hand is tenancy's own business; elsewhere the router chooses.
MAY_CHOOSE = ("tenancy/",)

REFUSED = {
    "atomic": "from django.db import transaction\n\nwith transaction.atomic():\n    pass\n",
    "atomic by name": "from django.db.transaction import atomic\n\nwith atomic():\n    pass\n",
    "on_commit": "from django.db import transaction\n\ntransaction.on_commit(print)\n",
    "connection": "from django.db import connection\n\nconnection.cursor()\n",
}


def ruff(code, file):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--select",
            "TID251",
            "--stdin-filename",
            file,
            "-",
        ],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("code", REFUSED.values(), ids=REFUSED)
def test_the_linter_refuses_what_means_the_default_database(code):
    done = ruff(code, "catalog/example.py")
    assert done.returncode == 1
    assert "TID251" in done.stdout


def test_the_linter_accepts_our_own_forms():
    code = "from tenancy.transactions import tenant_atomic\n\nwith tenant_atomic():\n    pass\n"
    assert ruff(code, "catalog/example.py").returncode == 0


def chosen_by_hand(source):
    """The lines that call ``.using(…)`` or pass ``using=``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name == "using" or any(keyword.arg == "using" for keyword in node.keywords):
                yield node.lineno


def sources():
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith(MAY_CHOOSE) and "/migrations/" not in name:
                yield name, file.read_text()


def test_no_module_outside_tenancy_chooses_a_database_by_hand():
    allowed = {
        # Django hands a manager its own alias, and a model method must pass it on.
        ("users/managers.py", "        user.save(using=self._db)"),
    }
    found = {
        (name, source.splitlines()[line - 1]) for name, source in sources() for line in chosen_by_hand(source)
    }
    assert found == allowed


@pytest.mark.parametrize("code", ["Product.objects.using('acme')", "product.save(using='acme')"])
def test_the_search_finds_what_it_looks_for(code):
    assert list(chosen_by_hand(code)) == [1]
