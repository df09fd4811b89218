"""How far a run is: a bar on a terminal, a line now and then elsewhere, nothing on stdout."""

from __future__ import annotations

import io

import pytest

from tenancy import progress
from tenancy.progress import FleetProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_it_is_a_line_now_and_then(monkeypatch):
    stream = io.StringIO()
    with FleetProgress(stream, "migrate", 4) as shown:
        shown.step(is_ok=True)  # too soon for a line
        monkeypatch.setattr(progress, "PAUSE", 0.0)
        shown.step(is_ok=False)
        shown.step(is_ok=True)
    lines = stream.getvalue().splitlines()
    assert [line.rpartition(",")[0] for line in lines] == [
        "migrate: 2 of 4, 1 failed",
        "migrate: 3 of 4, 1 failed",
    ]
    assert all(line.endswith("s to go") for line in lines)


@pytest.mark.parametrize("fails", [0, 2])
def test_on_a_terminal_it_is_a_bar_that_goes_when_it_is_done(monkeypatch, fails):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    with FleetProgress(stream, "query", 3) as shown:
        for number in range(3):
            shown.step(is_ok=number >= fails)
        shown._bar.refresh()
    text = stream.getvalue()
    assert "query" in text
    assert "3/3" in text
    assert ("2 failed" in text) is bool(fails)
