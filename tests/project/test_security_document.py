"""``docs/security.md`` names tests; a name that leads nowhere would prove nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from users import brakes

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_is_there(file, name):
    assert re.search(rf"^ *def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_each_item_is_met_by_something_or_said_not_to_be():
    rows = [line.split("|")[1:-1] for line in TEXT.splitlines() if re.match(r"\| \d+\.\d+\.\d+", line)]
    assert len(rows) > 45
    for item, asks, here in rows:
        assert asks.strip(), item
        assert here.strip(), item
    unmet = {item.strip() for item, _, here in rows if "**Not met" in here}
    assert unmet == {"6.2.4", "6.2.5", "6.2.12", "6.3.3", "6.4.4, 6.5.1 to 6.6.3", "7.2.4", "7.5.2"}


def test_its_figures_are_those_of_the_code():
    account, address = brakes.SIGN_IN_ACCOUNT, brakes.SIGN_IN_ADDRESS
    assert f"After {account.free} failures within {account.window.seconds // 60} minutes" in TEXT
    assert f"{account.delay.seconds} seconds first" in TEXT
    assert f"at most {account.longest.seconds // 60} minutes; an address after {address.free}" in TEXT
    assert f"only {account.limit} failures" in TEXT
    (words,) = re.findall(r"`project/settings\.py`: ([\w,\s]+)\.", TEXT)
    assert re.split(r",\s+", words) == [word.lower() for word in settings.PASSWORD_WORDS]
