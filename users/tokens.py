"""Tokens: what is in them, and how they are signed and read.

simplejwt builds, signs and dates them. Added here: several keys told apart by ``kid``, and claims that are
checked for type before anyone uses them (with stock simplejwt a malformed one is a 500, and ``sub: true``
is user 1).
"""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from tenancy.tenant import TENANT_ID
from users.keys import key_ring
from users.verified import Verified, verified_tokens

#: Characters. A token of ours has about 800; no server needs to decode a novel.
MAX_TOKEN_LENGTH = 8192

_REQUIRED = ["iss", "aud", "sub", "tenant_id", "sid", "jti", "iat", "exp", "token_type"]
#: What simplejwt gives a token: ``uuid4().hex``.
_TOKEN_ID = re.compile(r"[0-9a-f]{32}")
#: Three parts of base64url without padding (RFC 7515, section 7.1). Python's decoder takes more than that.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: What a token says it is in its header (RFC 8725, section 3.11; ``at+jwt`` is RFC 9068's), by its claim: one
#: kind is never taken for the other, here or by somebody who looks at the header only.
_TYPES = {"access": "at+jwt", "refresh": "rt+jwt"}
#: Seconds since 1970 beyond which a date is nonsense (the year 10000 overflows ``datetime``).
_LATEST = 253_402_300_800


@dataclass(frozen=True)
class Claims:
    """The claims of a token that was signed by us, with their types checked."""

    user_id: uuid.UUID
    tenant_id: str
    family_id: uuid.UUID
    token_id: str

    @classmethod
    def of(cls, token: Token) -> Claims:
        return cls(
            user_id=uuid.UUID(token["sub"]),
            tenant_id=token["tenant_id"],
            family_id=uuid.UUID(token["sid"]),
            token_id=token["jti"],
        )


class KeyRingBackend(TokenBackend):
    """Signs with the newest key of ``JWT_KEYS_DIR`` and verifies with the one a token names."""

    def __init__(self) -> None:
        super().__init__(
            settings.JWT_ALGORITHM,
            audience=settings.JWT_AUDIENCE,
            issuer=settings.JWT_ISSUER,
            leeway=settings.SIMPLE_JWT["LEEWAY"],
        )

    def encode(self, payload: dict[str, Any]) -> str:
        ring = key_ring()
        claims = payload | {"iss": self.issuer, "aud": self.audience}
        signing = ring.signing
        headers = {"kid": signing.kid, "typ": _TYPES[payload["token_type"]]}
        return jwt.encode(claims, signing.key, ring.algorithm.name, headers=headers)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        """The claims. Raises ``TokenBackendError`` for whatever is wrong with them or their signature."""
        try:
            text = token.decode("ascii") if isinstance(token, bytes) else str(token)
        except UnicodeDecodeError:
            _refuse()
        if len(text) > MAX_TOKEN_LENGTH or not _COMPACT.fullmatch(text):
            _refuse()
        terms = (self.audience, self.issuer, self.get_leeway())
        ring = key_ring()
        remembered = verified_tokens.find(text, ring.verifying_keys, terms)
        if remembered is not None and remembered["exp"] > time.time() - self.get_leeway().total_seconds():
            return remembered
        header = _header(text)
        try:
            kid = header.get("kid")  # which key to verify with; what else it says PyJWT looks at
            key = ring.verifying_keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                _refuse()
            payload: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[ring.algorithm.name],
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.get_leeway(),
                options={"require": _REQUIRED, "strict_aud": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as exc:
            raise TokenBackendError("Token is invalid") from exc
        _check_types(payload)
        if header.get("typ") != _TYPES.get(payload["token_type"]):
            _refuse()
        if payload["token_type"] == TenantAccessToken.token_type:  # a refresh token is used once
            verified_tokens.remember(text, Verified(str(kid), key, terms, dict(payload)))
        return payload


def _refuse() -> NoReturn:
    raise TokenBackendError("Token is invalid")


def _header(text: str) -> dict[str, Any]:
    """The header. Of two names that are alike, here or in the claims, Python takes the last; another reader
    may take the first."""
    header, claims = (_object(part) for part in text.split(".")[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        _refuse()
    return header


def _object(part: str) -> Any:
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        # UTF-8 and nothing else (RFC 7519, section 7.2); from bytes Python also reads UTF-16 and 32.
        return json.loads(data.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise TokenBackendError("Token is invalid") from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        _refuse()
    return names


def _check_types(payload: dict[str, Any]) -> None:
    for name in ("sub", "sid"):
        value = payload[name]
        # Only the spelling we issue: UUID() also takes braces, 'urn:uuid:' and missing hyphens.
        try:
            canonical = isinstance(value, str) and str(uuid.UUID(value)) == value
        except ValueError:
            canonical = False
        if not canonical:
            _refuse()
    for name, pattern in (("tenant_id", TENANT_ID), ("jti", _TOKEN_ID)):
        value = payload[name]
        # A pattern also keeps out what no database takes: NUL, and half a surrogate pair.
        if not isinstance(value, str) or not pattern.fullmatch(value):
            _refuse()
    if not isinstance(payload["token_type"], str):
        _refuse()
    for name in ("exp", "iat"):
        value = payload[name]
        if type(value) is not int or not 0 < value < _LATEST:
            _refuse()


class _TenantToken(Token):
    """A token of a family: ``sub`` the user, ``tenant_id`` the tenant, ``sid`` the family."""

    @property
    def token_backend(self) -> TokenBackend:
        return KeyRingBackend()

    @classmethod
    def issue(cls, user_id: uuid.UUID, tenant_id: str, family_id: uuid.UUID) -> Any:
        token = cls()
        token["sub"] = str(user_id)
        token["tenant_id"] = tenant_id
        token["sid"] = str(family_id)
        return token

    @classmethod
    def read(cls, text: Any) -> Claims:
        """The claims of a token somebody sent. Raises simplejwt's ``TokenError``."""
        return Claims.of(cls(text))


class TenantAccessToken(_TenantToken, AccessToken):
    """Opens the API of one tenant for five minutes."""


class TenantRefreshToken(_TenantToken, RefreshToken):
    """Buys the next pair, once."""

    def expire_by(self, latest: datetime) -> None:
        """Never outlive the family."""
        self.payload["exp"] = min(self.payload["exp"], int(latest.timestamp()))
