"""Brakes on guessing: how often something may be tried for one account, and from one address.

Counted in the control plane, so that all processes count together. An attempt is counted before it is made:
of a hundred at once no more get through than of a hundred in a row. Nobody is locked out at once, for whoever
knows an address could then lock its owner out: first the next attempt has to wait, longer each time. Only
very many failures without one success in between close an account, until its password is reset (NIST SP
800-63B, section 5.2.2).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from tenancy.audit.models import Actor, Outcome, Severity
from tenancy.audit.trail import Who, record
from tenancy.transactions import control_atomic
from users.email import canonical_email
from users.errors import TooManyAttempts
from users.models import Attempts
from users.origin import Origin


@dataclass(frozen=True)
class Brake:
    """``free`` attempts within ``window``; then each has to wait, first ``delay``, twice as long each time,
    up to ``longest``. After ``limit`` attempts without a success there is no other."""

    name: str
    free: int
    window: timedelta
    delay: timedelta
    longest: timedelta
    limit: int | None = None

    def wait_after(self, count: int) -> timedelta:
        """How long the next one has to wait after ``count`` attempts in the window."""
        if count < self.free:
            return timedelta()
        doublings = min(count - self.free, 32)
        return min(self.longest, self.delay * 2**doublings)


_MINUTE = timedelta(minutes=1)

SIGN_IN_ACCOUNT = Brake("sign-in:account", 10, 15 * _MINUTE, _MINUTE / 2, 15 * _MINUTE, limit=100)
SIGN_IN_ADDRESS = Brake("sign-in:address", 100, 15 * _MINUTE, _MINUTE, 15 * _MINUTE)
RESET_ACCOUNT = Brake("reset:account", 3, 60 * _MINUTE, 15 * _MINUTE, 60 * _MINUTE)
INVITATION_INVITER = Brake("invitation:inviter", 50, 60 * _MINUTE, 5 * _MINUTE, 60 * _MINUTE)
INVITATION_ADDRESS = Brake("invitation:address", 5, 60 * _MINUTE, 15 * _MINUTE, 60 * _MINUTE)
RESET_ADDRESS = Brake("reset:address", 30, 60 * _MINUTE, 5 * _MINUTE, 60 * _MINUTE)


@dataclass(frozen=True)
class Attempt:
    """One attempt, counted already. Its outcome changes the counts."""

    account: str
    address: str

    def succeeded(self) -> None:
        """The account starts from nothing; the address has one failure less, for behind it may be others."""
        Attempts.objects.filter(pk=self.account).update(count=0, total=0, blocked_until=None)
        one_less = {name: Greatest(F(name) - 1, 0) for name in ("count", "total")}
        Attempts.objects.filter(pk=self.address).update(**one_less)


def attempt_sign_in(email: str, origin: Origin) -> Attempt:
    """Count an attempt to sign in. Raises ``TooManyAttempts``."""
    account = _key(SIGN_IN_ACCOUNT, canonical_email(email))
    address = _key(SIGN_IN_ADDRESS, origin.network)
    advice = "Too many attempts. Wait, or have your password reset."
    if _attempt({account: SIGN_IN_ACCOUNT, address: SIGN_IN_ADDRESS}, advice):
        # Once for each wait: what is refused while it lasts is not counted, and not recorded.
        who = Who(Actor.UNKNOWN, address=origin.address)
        record("sign_in.braked", who, tenant_id="", outcome=Outcome.REFUSED, severity=Severity.WARNING)
    return Attempt(account, address)


def attempt_reset(email: str, origin: Origin) -> None:
    """Count a request for a mail that resets a password. Raises ``TooManyAttempts``."""
    account, address = _key(RESET_ACCOUNT, canonical_email(email)), _key(RESET_ADDRESS, origin.network)
    _attempt({account: RESET_ACCOUNT, address: RESET_ADDRESS})


def attempt_invitation(inviter: object, tenant_id: str, email: str) -> None:
    """Count a mail that somebody has us send: to anybody, and to this address. Raises ``TooManyAttempts``."""
    keys = {
        _key(INVITATION_INVITER, str(inviter)): INVITATION_INVITER,
        _key(INVITATION_ADDRESS, f"{tenant_id} {canonical_email(email)}"): INVITATION_ADDRESS,
    }
    _attempt(keys)


def forget_account(email: str) -> None:
    """Its password was reset: whoever did that owns it, and failures before do not count."""
    Attempts.objects.filter(pk=_key(SIGN_IN_ACCOUNT, canonical_email(email))).delete()


def _attempt(keys: dict[str, Brake], advice: str | None = None) -> bool:
    """Count an attempt under each key, and say whether the next one has to wait. Raises ``TooManyAttempts``,
    and then counts nothing, and keeps no row that was not there."""
    now = timezone.now()
    with control_atomic():
        # First there is a row, then its lock: two that come at once count one after the other. In one order,
        # so that no two wait for each other.
        Attempts.objects.bulk_create(
            [Attempts(key=key, since=now, at=now) for key in sorted(keys)], ignore_conflicts=True
        )
        rows = list(Attempts.objects.select_for_update().filter(pk__in=keys).order_by("key"))
        free_from = max((_free_from(keys[row.key], row, now) for row in rows), default=now)
        if free_from > now:
            raise TooManyAttempts(math.ceil((free_from - now).total_seconds()), advice)
        for row in rows:
            _count(keys[row.key], row, now)
            row.save(force_update=True)
    return any(row.blocked_until is not None for row in rows)


def _free_from(brake: Brake, row: Attempts, now: datetime) -> datetime:
    if brake.limit is not None and row.total >= brake.limit:
        return now + brake.longest
    return row.blocked_until or now


def _count(brake: Brake, row: Attempts, now: datetime) -> None:
    if now - row.since > brake.window:
        row.count, row.since = 0, now
    row.count += 1
    row.total += 1
    row.at = now
    wait = brake.wait_after(row.count)
    row.blocked_until = now + wait if wait else None


def _key(brake: Brake, who: str) -> str:
    """Of a hash: the table is no list of addresses that somebody tried."""
    return f"{brake.name}:{hashlib.sha256(who.encode('utf-8', 'surrogatepass')).hexdigest()}"
