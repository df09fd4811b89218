"""A clock that tests can move: tokens and families must expire without anybody waiting."""

from __future__ import annotations

import datetime

import jwt.api_jwt
import pytest
import rest_framework_simplejwt.tokens
from django.utils import timezone


class Clock:
    def __init__(self):
        self.offset = datetime.timedelta()

    def advance(self, **amount):
        self.offset += datetime.timedelta(**amount)

    def now(self):
        return datetime.datetime.now(datetime.UTC) + self.offset


@pytest.fixture
def clock(monkeypatch):
    """The time as PyJWT, simplejwt and Django see it. ``clock.advance(minutes=5)`` moves it."""
    clock = Clock()

    class MovedDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz=None):  # noqa: ARG003 - PyJWT asks for UTC, which is what it gets
            return clock.now()

    monkeypatch.setattr(jwt.api_jwt, "datetime", MovedDatetime)
    monkeypatch.setattr(rest_framework_simplejwt.tokens, "aware_utcnow", clock.now)
    monkeypatch.setattr(timezone, "now", clock.now)
    return clock
