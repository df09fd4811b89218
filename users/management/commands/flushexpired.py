from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Q, QuerySet
from django.utils import timezone

from tenancy.transactions import control_atomic
from users import brakes
from users.models import ApiKey, Attempts, Invitation, TokenFamily

#: What is over is kept for a day: somebody may want to know why they were signed out.
KEPT = timedelta(days=1)
#: Rows that one transaction deletes: sign-ins go on meanwhile.
BATCH = 1000


class Command(BaseCommand):
    help = "Deletes sessions, invitations, API keys and counts of attempts that are over. For cron, daily."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, rows in _expired(timezone.now() - KEPT):
            count = 0
            for deleted in _delete(rows):
                count += deleted
                if deleted == BATCH:
                    self.stdout.write(f"{count:,} {name}s …")
            self.stdout.write(f"Deleted {count:,} {name}{'' if count == 1 else 's'}.")


#: An API key that is over is listed for so long.
LISTED = timedelta(days=90)
#: Days that an account stays closed which nobody has tried since.
CLOSED = timedelta(days=180)


def _expired(before: datetime) -> list[tuple[str, QuerySet[Any]]]:
    # One that is closed until its password is reset.
    listed = before - LISTED
    closed = Q(key__startswith=brakes.SIGN_IN_ACCOUNT.name, total__gte=brakes.SIGN_IN_ACCOUNT.limit)
    return [
        ("session", TokenFamily.objects.over(before)),
        ("invitation", Invitation.objects.filter(expires_at__lt=before)),
        ("API key", ApiKey.objects.filter(Q(expires_at__lt=listed) | Q(revoked_at__lt=listed))),
        ("count", Attempts.objects.filter(at__lt=before).exclude(closed, at__gte=before - CLOSED)),
    ]


def _delete(rows: QuerySet[Any]) -> Iterator[int]:
    """In batches; how many each deleted."""
    while True:
        with control_atomic():
            # Locked in the order in which others lock them, and not those that somebody uses now.
            locked = rows.select_for_update(skip_locked=True).order_by("pk")
            keys = list(locked.values_list("pk", flat=True)[:BATCH])
            rows.model._default_manager.filter(pk__in=keys).delete()
        if not keys:
            return
        yield len(keys)
