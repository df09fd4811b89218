"""The part of a report that a Celery worker does: some tenants, in its threads."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from celery import shared_task
from django.core.management import call_command

from tenancy import live
from tenancy.exceptions import NoTenant, TenancyError, TenantNotFound
from tenancy.fleet import Outcome, Result
from tenancy.registry import get_registry
from tenancy.reports.answer import Answer, Question
from tenancy.reports.job import Job
from tenancy.reports.message import pack
from tenancy.reports.report import get_report
from tenancy.tenant import Tenant

#: The message's header: whom it is about.
HEADER = "tenant_ids"
NAME = "tenancy.reports.ask"
GONE = "it is not in the tenants.yaml of the worker that was asked"


class ReportIncomplete(TenancyError):
    """Tenants could not be asked; who, it says."""


@shared_task(bind=True, name=NAME, acks_late=True, reject_on_worker_lost=True)  # type: ignore[untyped-decorator]
def ask(
    self: Any, report: str, given: Mapping[str, Any], question: Mapping[str, Any], job: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Put a report's question to the tenants in the message's header, each in its own context.

    Reads only, so that it may be done twice; whoever asked takes the first answer. Raises ``NoTenant`` for a
    message without the header.
    """
    tenant_ids = (self.request.headers or {}).get(HEADER)
    if not isinstance(tenant_ids, list):
        raise NoTenant(f"The message of task '{NAME}'")
    live.refresh()
    declared = get_report(report)
    registry = get_registry()
    tenants: list[Tenant] = []
    found: list[dict[str, Any]] = []
    for tenant_id in tenant_ids:
        try:
            tenants.append(registry.get(tenant_id))
        except TenantNotFound:
            found.append(pack(declared, _gone(tenant_id)))
    asked = Question(declared, declared.clean(given), **question)
    found.extend(pack(declared, outcome) for outcome in Job(asked, tenants, **job).outcomes())
    return found


def _gone(tenant_id: str) -> Outcome[Answer]:
    """This worker's tenants.yaml does not have it: it was removed a moment ago, or this is another file."""
    return Outcome(Tenant(tenant_id, tenant_id), Result.FAILED, error=GONE)


@shared_task(name="tenancy.reports.run")  # type: ignore[untyped-decorator]
def run(name: str, output: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> None:
    """``manage.py report NAME --output FILE``, for a schedule of Celery beat's: in this worker's threads.

    ``options`` are the command's, as in ``totals=True``. Raises ``ReportIncomplete`` where the command would
    exit with 1; the file is written then, too.
    """
    pairs = [(key, str(value)) for key, value in (parameters or {}).items()]
    words = io.StringIO()
    try:
        call_command("report", name, output=output, param=pairs, stderr=words, no_color=True, **options)
    except SystemExit as exc:  # it would end the worker's process
        raise ReportIncomplete(words.getvalue().strip()) from exc
