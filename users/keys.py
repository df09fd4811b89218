"""Signing keys: a folder of files, one per key; a file's name is the key's id (``kid``).

All of them verify, and all are published. A private key whose name begins with a date signs from that date
on; of those that have begun, the one whose name sorts last signs. So a key is published before it signs, by
as long as its date lies ahead, and every process of every machine changes over at the same moment, without a
word between them. A file with a public key only verifies. Files of another algorithm than ``JWT_ALGORITHM``
are passed over.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from users.algorithms import (
    ALGORITHMS,
    SUFFIXES,
    Algorithm,
    KeyTooWeak,
    NotAKey,
    is_private,
    public_half,
    read_key,
)

logger = logging.getLogger("users.keys")

_KID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DATE = re.compile(r"(\d{8}T\d{6})-")
_DATE_FORMAT = "%Y%m%dT%H%M%S"


class KeyTooShort(ImproperlyConfigured):
    """A key of the right kind, and not long enough to sign with."""


class KeyInUse(Exception):
    """A key cannot be retired: it signs, or tokens that it signed are still good."""


@dataclass(frozen=True)
class Key:
    """One file of the folder. ``repr()`` shows no secret."""

    kid: str
    algorithm: Algorithm
    file: Path
    #: From when on it may sign, and whether its name says so.
    begins: datetime
    is_dated: bool
    key: Any = field(repr=False)

    @property
    def signs(self) -> bool:
        return is_private(self.key)

    @property
    def rank(self) -> tuple[bool, str]:
        """The highest that has begun signs: a name with a date is above all without one."""
        return self.is_dated, self.kid


@dataclass(frozen=True)
class KeyRing:
    """The keys of one folder for one algorithm. ``repr()`` shows no key."""

    algorithm: Algorithm
    keys: tuple[Key, ...]
    verifying_keys: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(sorted(self.verifying_keys))}; signs with {self.signing_kid})"

    @property
    def signing(self) -> Key:
        """The key that signs now."""
        candidates = [key for key in self.keys if key.signs]
        now = timezone.now()
        begun = [key for key in candidates if key.begins <= now]
        # None has begun where the clock went back: the one that comes first, rather than nobody signs in.
        return max(begun, key=_rank) if begun else min(candidates, key=_rank)

    @property
    def signing_kid(self) -> str:
        return self.signing.kid

    @property
    def signing_key(self) -> Any:
        return self.signing.key

    def ended(self, key: Key) -> datetime | None:
        """When a key stopped signing, or will; None for the last one."""
        successors = [other.begins for other in self.keys if other.signs and other.rank > key.rank]
        return min(successors, default=None)

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set (RFC 7517, section 5)."""
        found = ((key.kid, self.algorithm.public_jwk(self.verifying_keys[key.kid])) for key in self.keys)
        return {"keys": [{"kid": kid, **jwk} for kid, jwk in found if jwk is not None]}


def _rank(key: Key) -> tuple[bool, str]:
    return key.rank


def load_keys(folder: Path, algorithm: str | None = None) -> KeyRing:
    """The key ring in ``folder``, for ``JWT_ALGORITHM`` unless another is named.

    Raises ``ImproperlyConfigured``, naming the file at fault.
    """
    wanted = ALGORITHMS[algorithm or settings.JWT_ALGORITHM]
    keys = tuple(key for key in read_folder(folder) if key.algorithm is wanted)
    if not any(key.signs for key in keys):
        raise ImproperlyConfigured(
            f"JWT_KEYS_DIR: no private key for {wanted.name} in {folder}. Make one with "
            "`manage.py signingkey create`."
        )
    return KeyRing(wanted, keys, {key.kid: public_half(key.key) for key in keys})


def read_folder(folder: Path) -> Iterator[Key]:
    """Every key in ``folder``, of whatever algorithm, by name."""
    for file in sorted(folder.glob("*.*")):
        if file.suffix not in SUFFIXES:
            continue
        if not _KID.fullmatch(file.stem):
            raise ImproperlyConfigured(f"JWT_KEYS_DIR: {file.name}: a key's name is letters, digits, . _ -")
        yield _read_file(file)


def _read_file(file: Path) -> Key:
    try:
        content = file.read_bytes()
        facts = file.stat()
    except OSError as exc:
        raise ImproperlyConfigured(f"JWT_KEYS_DIR: {file.name} cannot be read: {exc.strerror}") from None
    try:
        algorithm, key = read_key(content, file.suffix)
    except KeyTooWeak as exc:
        raise KeyTooShort(f"JWT_KEYS_DIR: {file.name} {exc}.") from None
    except NotAKey as exc:
        raise ImproperlyConfigured(f"JWT_KEYS_DIR: {file.name} {exc}.") from None
    if is_private(key) and stat.S_IMODE(facts.st_mode) & 0o077:
        raise ImproperlyConfigured(f"JWT_KEYS_DIR: others may read {file.name}. Run `chmod 600` on it.")
    date = _date(file.stem)
    begins = date or datetime.fromtimestamp(facts.st_mtime, UTC)
    return Key(file.stem, algorithm, file, begins, date is not None, key)


def _date(kid: str) -> datetime | None:
    """The date in a key's name."""
    if found := _DATE.match(kid):
        try:
            return datetime.strptime(found[1], _DATE_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            pass
    return None


class LiveKeyRing:
    """The ring of a folder, read again when its files have changed.

    It looks at most once a second, in the thread that asks: a look is one listing of the folder. A folder
    that became bad changes nothing, and is logged once; one that was never good raises.
    """

    seconds = 1.0

    def __init__(self, folder: Path, algorithm: str) -> None:
        self.folder, self.algorithm = folder, algorithm
        self._signature = _signature(folder)
        self._ring = load_keys(folder, algorithm)
        self._told = ""
        self._due = time.monotonic() + self.seconds

    def current(self) -> KeyRing:
        if time.monotonic() >= self._due:
            self._look()
        return self._ring

    def _look(self) -> None:
        # First: of the threads that come now one looks, and should two, they find the same.
        self._due = time.monotonic() + self.seconds
        signature = _signature(self.folder)
        if signature == self._signature:
            return
        try:
            self._ring = load_keys(self.folder, self.algorithm)
        except ImproperlyConfigured as exc:
            # Looked at again in a second, whatever it was. Without its traceback: it names the file.
            if self._told != str(exc):
                logger.error("The signing keys stay as they were: %s", exc)  # noqa: TRY400
            self._told = str(exc)
        else:
            self._signature, self._told = signature, ""
            logger.info("The signing keys have changed: %r", self._ring)


def _signature(folder: Path) -> tuple[Any, ...]:
    """What changes when a key's file does."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if Path(entry.name).suffix in SUFFIXES:
                    facts = entry.stat()
                    times = facts.st_mtime_ns, facts.st_ctime_ns
                    found.append((entry.name, *times, facts.st_size, facts.st_ino, facts.st_mode))
    except OSError:
        return ()  # as good as empty: reading it says why
    return tuple(sorted(found))


_rings: dict[tuple[Path, str], LiveKeyRing] = {}


def key_ring() -> KeyRing:
    """The keys of ``JWT_KEYS_DIR`` as they are now, or were a second ago."""
    place = Path(settings.JWT_KEYS_DIR), settings.JWT_ALGORITHM
    ring = _rings.get(place)
    if ring is None:
        ring = _rings[place] = LiveKeyRing(*place)
    return ring.current()


def create_key(folder: Path, *, signs_in: timedelta | None = None, algorithm: str | None = None) -> str:
    """Make a new private key in ``folder`` and return its id.

    It is published within a second, and signs ``signs_in`` from now: by then every process, and everybody who
    keeps a copy of the published keys, must know it. By default ``JWT_KEY_PUBLISHED_BEFORE``, and at once
    where there is no key to sign with. Raises ``ImproperlyConfigured`` for a folder that is not in order:
    what the key waits for would be anybody's guess.
    """
    wanted = ALGORITHMS[algorithm or settings.JWT_ALGORITHM]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if signs_in is None:
        has_key = any(key.algorithm is wanted and key.signs for key in read_folder(folder))
        signs_in = settings.JWT_KEY_PUBLISHED_BEFORE if has_key else timedelta()
    begins = datetime.now(UTC) + signs_in
    kid = f"{begins:{_DATE_FORMAT}}-{secrets.token_hex(4)}"
    # O_EXCL and the mode at once: never over another file, never readable by others for a moment. Renamed
    # when whole: a key that was written half would keep the service from starting.
    draft = folder / f"{kid}.draft"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(wanted.make())
        stream.flush()
        os.fsync(descriptor)
    draft.rename(folder / f"{kid}{wanted.suffix}")
    return kid


def can_sign(folder: Path, algorithm: str | None = None) -> bool:
    """Whether ``folder`` is in order and has a key to sign with."""
    try:
        load_keys(folder, algorithm)
    except ImproperlyConfigured:
        return False
    return True


def longest_token_life() -> timedelta:
    """How long after it was signed a token may still be good."""
    jwt: dict[str, Any] = settings.SIMPLE_JWT
    lifetime: timedelta = max(jwt["ACCESS_TOKEN_LIFETIME"], jwt["REFRESH_TOKEN_LIFETIME"]) + jwt["LEEWAY"]
    return lifetime


def may_retire_from(ring: KeyRing, key: Key) -> datetime | None:
    """From when on no good token was signed with ``key``; None while nothing takes its place."""
    now = timezone.now()
    if not key.signs or key.begins > now:
        return now  # it only verifies, or has never signed: whoever has it here decides
    ended = ring.ended(key)
    return ended + longest_token_life() if ended is not None else None


def retire_key(ring: KeyRing, kid: str, *, at_once: bool = False) -> None:
    """Take a key out of its folder: nothing that it signed is good any more, within a second.

    Raises ``KeyInUse`` while tokens of its are good, unless ``at_once``, which is for a key that leaked; and
    always where no other could sign. ``KeyError`` for an unknown one.
    """
    found = {key.kid: key for key in ring.keys}[kid]
    if not any(key.signs for key in ring.keys if key is not found):
        raise KeyInUse(f"{kid} is the only key that can sign. Make another first: `signingkey create`.")
    free = may_retire_from(ring, found)
    if not at_once:
        if free is None:
            raise KeyInUse(f"{kid} signs, and no other takes its place. Make one: `signingkey create`.")
        if free > timezone.now():
            raise KeyInUse(
                f"Tokens that {kid} signed may be good until {free:%Y-%m-%d %H:%M} UTC. If it leaked, take "
                "it away with --now: whoever has such a token must sign in again."
            )
    found.file.unlink()
