"""What the service records of itself."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpRequest

from tenancy.audit.models import Outcome, Severity
from tenancy.audit.trail import SERVICE, try_to_record
from tenancy.exceptions import NoTenant, WrongTenant
from tenancy.registry import Registry, get_registry

#: Tenants that one event names.
_SHOWN = 100
_EVENTS = uuid.UUID("5c1d3a0e-9f0b-4a51-8f37-0d4b7b1f7f64")


def note_registry_change(sender: Any, registry: Registry, **changes: Any) -> None:
    """A receiver of ``tenancy.registry.registry_changed``. Every process hears of it; together they record it
    once, for each generation of the file has one id. In a thread of its own: requests may be waiting for the
    one that read the file, and must not wait for the control plane."""
    if registry is not get_registry():
        return  # not the service's own: somebody tries out a file
    generation = registry.generation
    details = {
        kind: {"count": len(changes[kind]), "tenants": sorted(changes[kind])[:_SHOWN]}
        for kind in ("added", "removed", "changed")
        if changes[kind]
    }
    since = registry.since.strftime("%Y-%m-%dT%H:%M")  # what comes back a minute later is told again
    facts = {
        "tenant_id": "",
        "target": generation,
        "details": details,
        "severity": Severity.WARNING if changes["removed"] else Severity.INFO,
        "id": uuid.uuid5(_EVENTS, f"{generation} {since}"),
    }
    _in_thread(partial(try_to_record, "registry.changed", SERVICE, **facts))


def _in_thread(function: Callable[[], None]) -> None:
    # What it opens is closed when it ends (see tenancy.connections).
    threading.Thread(target=function, name="audit", daemon=True).start()


def note_request_exception(sender: Any, request: HttpRequest | None = None, **kwargs: Any) -> None:
    """A receiver of Django's ``got_request_exception``: what becomes a 500."""
    exc = sys.exc_info()[1]
    if exc is not None:
        note_breach(exc, request)


def note_failed_task(sender: Any = None, exception: BaseException | None = None, **kwargs: Any) -> None:
    """A receiver of Celery's ``task_failure``."""
    if exception is not None:
        note_breach(exception)


def note_breach(exc: BaseException, request: HttpRequest | None = None) -> None:
    """Record that code of ours asked for data of no tenant, or of another one. It was refused; that it asked
    is a bug, which somebody has to be woken for."""
    if isinstance(exc, NoTenant | WrongTenant):
        try_to_record(
            "isolation.breached",
            SERVICE,
            outcome=Outcome.REFUSED,
            severity=Severity.CRITICAL,
            target=type(exc).__name__,
            details={} if request is None else {"method": request.method, "path": request.path[:200]},
        )
