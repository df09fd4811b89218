"""Tokens as somebody would make them who has our key: each part is what the test says, however odd."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from users.keys import key_ring


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def claims_of(token):
    return json.loads(decode(token.split(".")[1]))


def header_of(token):
    return json.loads(decode(token.split(".")[0]))


def good_header(claims):
    """The header that we give a token of these claims."""
    kind = "rt+jwt" if claims.get("token_type") == "refresh" else "at+jwt"
    return {"alg": "RS256", "kid": key_ring().signing_kid, "typ": kind}


def sign(header, payload, key=None):
    """A token of this header and payload; either may be bytes, to say what ``json`` would not."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    text = ".".join(encode(part) for part in parts)
    key = key or key_ring().signing_key
    return f"{text}.{encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
