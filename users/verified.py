"""Access tokens whose signature was found good a moment ago.

A client sends the same token for five minutes, and to verify a signature takes as long as half a query. What
is remembered is arithmetic alone: that these very characters were signed with that key. Whether the token's
time is over is asked on every request, as is whether its family, membership and tenant are still there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

#: Tokens that a process remembers: two kilobytes each. The oldest goes first.
REMEMBERED = 4096


@dataclass(frozen=True)
class Verified:
    """``key`` is the very object it was verified with: one that was taken out of the ring vouches for
    nothing any more. ``terms`` is what else it was checked for."""

    kid: str
    key: object
    terms: tuple[object, ...]
    payload: Mapping[str, Any]


class VerifiedTokens:
    """By the hash of their text: who reads this process's memory finds no token to use."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self.size = size
        self._found: dict[bytes, Verified] = {}

    def find(self, text: str, keys: Mapping[str, object], terms: tuple[object, ...]) -> dict[str, Any] | None:
        """The claims of a token that was verified with one of these keys, and for these terms."""
        verified = self._found.get(_digest(text))
        if verified is None or verified.terms != terms or keys.get(verified.kid) is not verified.key:
            return None
        return dict(verified.payload)

    def remember(self, text: str, verified: Verified) -> None:
        # Without a lock, which a forked process could inherit held: of two threads at once one may leave the
        # oldest to the next.
        self._found[_digest(text)] = verified
        with suppress(StopIteration, RuntimeError):
            while len(self._found) > self.size:
                self._found.pop(next(iter(self._found)), None)

    def __len__(self) -> int:
        return len(self._found)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


verified_tokens = VerifiedTokens()
