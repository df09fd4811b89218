"""Signing keys: a folder of PEM files, one per key; the file's name is the key's id (``kid``).

All of them verify. The private key whose name sorts last signs, so names begin with a date, and a newer
key takes over when it is put beside the older. A file with a public key only verifies.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

ALGORITHM = "RS256"
KEY_BITS = 2048
_KID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class KeyTooShort(ImproperlyConfigured):
    """A key that is an RSA key, and not long enough to sign with."""


@dataclass(frozen=True)
class KeyRing:
    """The keys of one folder. ``repr()`` shows no key."""

    signing_kid: str
    signing_key: RSAPrivateKey
    verifying_keys: dict[str, RSAPublicKey]

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(sorted(self.verifying_keys))}; signs with {self.signing_kid})"


def load_keys(folder: Path) -> KeyRing:
    """The key ring in ``folder``. Raises ``ImproperlyConfigured``, naming the file at fault."""
    private: dict[str, RSAPrivateKey] = {}
    public: dict[str, RSAPublicKey] = {}
    for file in sorted(folder.glob("*.pem")):
        if not _KID.fullmatch(file.stem):
            raise ImproperlyConfigured(f"JWT_KEYS_DIR: {file.name}: a key's name is letters, digits, . _ -")
        key = _load_key(file)
        if isinstance(key, RSAPrivateKey):
            private[file.stem] = key
            public[file.stem] = key.public_key()
        else:
            public[file.stem] = key
    if not private:
        raise ImproperlyConfigured(
            f"JWT_KEYS_DIR: no private key in {folder}. Make one with `manage.py signingkey create`."
        )
    kid = max(private)
    return KeyRing(kid, private[kid], public)


def _load_key(file: Path) -> RSAPrivateKey | RSAPublicKey:
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise ImproperlyConfigured(f"JWT_KEYS_DIR: {file.name} cannot be read: {exc.strerror}") from None
    try:
        if b"PRIVATE KEY" in data:
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise ImproperlyConfigured(
                    f"JWT_KEYS_DIR: others may read {file.name}. Run `chmod 600` on it."
                )
            key: object = serialization.load_pem_private_key(data, password=None)
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ImproperlyConfigured(
            f"JWT_KEYS_DIR: {file.name} is not an RSA key in PEM without a passphrase."
        ) from None
    if not isinstance(key, RSAPrivateKey | RSAPublicKey):
        raise ImproperlyConfigured(f"JWT_KEYS_DIR: {file.name} is not an RSA key.")
    if key.key_size < KEY_BITS:
        raise KeyTooShort(f"JWT_KEYS_DIR: {file.name} has {key.key_size} bits, and {KEY_BITS} are the least.")
    return key


@lru_cache(maxsize=4)
def _cached(folder: Path) -> KeyRing:
    return load_keys(folder)


def key_ring() -> KeyRing:
    """The keys of ``JWT_KEYS_DIR``, read once per process."""
    return _cached(Path(settings.JWT_KEYS_DIR))


def create_key(folder: Path) -> str:
    """Make a new private key in ``folder`` and return its id. It signs from the next start on."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kid = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    pem = generate_private_key(public_exponent=65537, key_size=KEY_BITS).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    # O_EXCL and the mode at once: never over another file, never readable by others for a moment. Renamed
    # when whole: a key that was written half would keep the service from starting.
    draft = folder / f"{kid}.draft"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pem)
    draft.rename(folder / f"{kid}.pem")
    return kid
