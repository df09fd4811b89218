"""The suite itself: what runs on one engine only must not depend on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ENGINELESS, LONGEST

TESTS = Path(__file__).resolve().parent.parent
#: By these a test says that it wants a database, or which engine it runs on.
WANTS_ONE = re.compile(r"@?databases\(|django_db|TEST_DATABASE|\bENGINE\b|\.vendor\b|connections\[|\bcast\b")


@pytest.mark.parametrize("name", ENGINELESS)
def test_what_runs_on_one_engine_only_opens_no_database(name):
    place = TESTS / name
    files = sorted(place.glob("test_*.py")) if place.is_dir() else [place]
    assert files
    for file in files:
        assert not WANTS_ONE.search(file.read_text()), f"{file.name} depends on the engine."


@pytest.mark.parametrize("name", LONGEST)
def test_what_takes_longest_is_there(name):
    """One that was renamed would come last."""
    assert (TESTS / name).is_file()
