"""What grows is seen to grow; half of the versions of a file are broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import rewrites
from benchmarks.endurance import Look, report
from benchmarks.load import Sample
from tenancy import tenants_file
from tenancy.exceptions import TenantsFileError

GOOD = "version: 1\ntenants:\n  acme: {name: Acme, url: 'postgres://a@db/a'}\n"


def unmet(memory: float = 0.0, descriptors: int = 0, status: int = 200, connections: int = 20) -> set[str]:
    samples = [Sample("t", float(number), 0.01, status if number == 50 else 200) for number in range(100)]
    looks = [
        Look(number, 100 + memory * number / 100, 40 + descriptors * number // 100, 10)
        for number in range(0, 101, 2)
    ]
    result = report(samples, 1.0, looks, connections, 8)
    return {goal.what for goal in result.goals if not goal.is_met}


@pytest.mark.parametrize(
    ("facts", "goal"),
    [
        ({}, None),
        ({"memory": 20.0}, "memory grown after the warm-up"),
        ({"descriptors": 20}, "descriptors grown after the warm-up"),
        ({"status": 503}, "errors"),
        ({"connections": 21}, "connections to tenants"),
    ],
    ids=["flat", "memory", "descriptors", "an error", "connections"],
)
def test_what_grows_is_seen(facts: dict[str, float], goal: str | None):
    assert unmet(**facts) == ({goal} if goal else set())  # type: ignore[arg-type]


def test_every_second_version_of_the_file_is_refused(monkeypatch: pytest.MonkeyPatch):
    """With fewer entries than the benchmark's, so that there is time for all versions."""
    monkeypatch.setattr(rewrites, "OTHERS", 50)

    def is_valid(content: bytes) -> bool:
        try:
            tenants_file.parse(
                content, name="tenants.yaml", folder=Path(), control=None, production=False, environ={}
            )
        except TenantsFileError:
            return False
        return True

    found = [is_valid(content) for content in rewrites.versions(GOOD, seed=1)]
    assert found == [False, True] * (rewrites.VERSIONS // 2)
