"""The algorithms that tokens may be signed with: ``JWT_ALGORITHM`` names the one in use.

One at a time: which algorithm a token is verified with is the service's choice and never the token's (RFC
8725, section 3.1), and a key is good for the one algorithm that it was made for.
"""

from __future__ import annotations

import base64
import secrets
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

#: Bits of an RSA key, at the least (RFC 7518, section 3.3; NIST SP 800-57 gives 2048 until 2030).
RSA_BITS = 2048
#: Bytes of a shared secret, at the least: as many as the hash has (RFC 7518, section 3.2).
SECRET_BYTES = 32


class NotAKey(ValueError):
    """What a file holds is no key of any algorithm here. Says nothing of what it holds."""


class KeyTooWeak(NotAKey):
    """It is a key, and not long enough to sign with."""


class Algorithm(ABC):
    """How keys of one algorithm are made, read and published."""

    name: ClassVar[str]
    #: What its files end in.
    suffix: ClassVar[str] = ".pem"
    #: As messages call its key.
    key_name: ClassVar[str]

    @abstractmethod
    def make(self) -> bytes:
        """The content of a new key's file."""

    @abstractmethod
    def owns(self, key: Any) -> bool:
        """Whether a key is one of this algorithm's. Raises ``KeyTooWeak``."""

    def public_jwk(self, key: Any) -> dict[str, Any] | None:
        """What others verify with (RFC 7517); None where that would give the secret away."""
        jwk: dict[str, Any] = get_default_algorithms()[self.name].to_jwk(key, as_dict=True)
        # PyJWT adds what one may do with the key; ``use`` says it in the words that every library reads.
        return {name: value for name, value in jwk.items() if name != "key_ops"} | {
            "use": "sig",
            "alg": self.name,
        }


def _pem(key: Any) -> bytes:
    content: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return content


class RS256(Algorithm):
    """The default: it verifies fastest of those with a public key, and every library knows it."""

    name = "RS256"
    key_name = "RSA key"

    def make(self) -> bytes:
        return _pem(rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS))

    def owns(self, key: Any) -> bool:
        if not isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
            return False
        if key.key_size < RSA_BITS:
            raise KeyTooWeak(f"has {key.key_size} bits, and {RSA_BITS} are the least")
        return True


class ES256(Algorithm):
    """Short tokens, which hardware and clouds sign."""

    name = "ES256"
    key_name = "P-256 key"

    def make(self) -> bytes:
        return _pem(ec.generate_private_key(ec.SECP256R1()))

    def owns(self, key: Any) -> bool:
        kinds = ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey
        return isinstance(key, kinds) and isinstance(key.curve, ec.SECP256R1)


class EdDSA(Algorithm):
    """Short tokens again, and no randomness that could be bad."""

    name = "EdDSA"
    key_name = "Ed25519 key"

    def make(self) -> bytes:
        return _pem(ed25519.Ed25519PrivateKey.generate())

    def owns(self, key: Any) -> bool:
        return isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey)


class HS256(Algorithm):
    """A shared secret: for a service that alone reads its tokens. Whoever can verify one can make one."""

    name = "HS256"
    suffix = ".secret"
    key_name = f"secret of {SECRET_BYTES} bytes in base64url"

    def make(self) -> bytes:
        return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)) + b"\n"

    def owns(self, key: Any) -> bool:
        return isinstance(key, bytes)

    def public_jwk(self, key: Any) -> dict[str, Any] | None:
        return None


ALGORITHMS: dict[str, Algorithm] = {found.name: found for found in (RS256(), ES256(), EdDSA(), HS256())}
SUFFIXES = frozenset(algorithm.suffix for algorithm in ALGORITHMS.values())


def read_key(content: bytes, suffix: str) -> tuple[Algorithm, Any]:
    """The key in a file, and the algorithm that it is for. Raises ``NotAKey``."""
    key = _secret(content) if suffix == HS256.suffix else _from_pem(content)
    for algorithm in ALGORITHMS.values():
        if algorithm.owns(key):
            return algorithm, key
    names = ", ".join(f"{algorithm.key_name} ({algorithm.name})" for algorithm in ALGORITHMS.values())
    raise NotAKey(f"is none of these: {names}")


def is_private(key: Any) -> bool:
    """Whether it signs; a public key only verifies."""
    return isinstance(key, bytes) or hasattr(key, "private_bytes")


def public_half(key: Any) -> Any:
    """What verifies what ``key`` signed."""
    return key.public_key() if hasattr(key, "public_key") else key


def _from_pem(content: bytes) -> Any:
    try:
        if b"PRIVATE KEY" in content:
            return serialization.load_pem_private_key(content, password=None)
        return serialization.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NotAKey("is not a key in PEM without a passphrase") from None


def _secret(content: bytes) -> bytes:
    try:
        text = content.strip().rstrip(b"=")
        secret = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise NotAKey("is not a secret in base64url") from None
    if len(secret) < SECRET_BYTES:
        raise KeyTooWeak(f"has {len(secret)} bytes, and {SECRET_BYTES} are the least")
    return secret
