"""The two pages that links in mails lead to."""

from __future__ import annotations

import re

import pytest
from django.test import Client

PAGES = ["/account/password/", "/account/invitation/"]


@pytest.fixture(params=PAGES)
def page(request):
    return Client().get(request.param, secure=True)


def test_a_password_is_masked_and_may_be_pasted(page):
    (field,) = re.findall(r"<input name=\"password\"[^>]*>", page.content.decode())
    assert 'type="password"' in field
    assert 'autocomplete="new-password"' in field
    assert not re.search(r"onpaste|readonly|autocomplete=\"off\"", page.content.decode())


def test_nobody_keeps_it_or_is_told_where_it_was_opened(page):
    assert page.status_code == 200
    assert page["Cache-Control"] == "no-store"
    assert page["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page.content.decode())
