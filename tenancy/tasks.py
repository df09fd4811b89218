"""Celery tasks that work for a tenant.

Give a task of a tenant app this base::

    @shared_task(base=TenantTask)
    def reprice(percent):
        Product.objects.update(price=F("price") * (1 + percent / 100))

Sent in a tenant's context it runs in that tenant's, on whatever worker: the message carries the tenant's id
in a header. Sent without one it is refused; so is a message without the header, which somebody sent by the
task's name. A task may run twice, as any of Celery's: a worker may die when it has done all but say so.

Private API, read in Celery 5.7 (``celery/app/task.py``, ``celery/app/trace.py``): the worker calls a task
that has a ``__call__`` of its own by it, and ``request.headers`` has what a message's header holds beyond
the protocol's own. A test with a real broker fails when this changes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from celery import Task

from tenancy import live
from tenancy.conf import conf
from tenancy.context import current_tenant, in_request, require_tenant, tenant_context
from tenancy.exceptions import (
    DatabaseBusy,
    DatabaseUnavailable,
    NoTenant,
    TenantMigrating,
    TenantNotServed,
    WrongTenant,
)
from tenancy.registry import get_registry
from tenancy.tenant import Status

if conf.celery_app:
    # Tasks belong to the application that is current when they are sent. Nobody else need have imported the
    # project's, and Celery would take one that sends to a RabbitMQ on this machine.
    import_module(conf.celery_app)

#: What of a message's options is sent after it, and what of a canvas's arguments are signatures.
FOLLOWERS = ("chain", "chord", "link", "link_error")
CANVAS = ("task", "tasks", "header", "body")
#: The message's header.
HEADER = "tenant_id"


class TenantTask(Task):  # type: ignore[misc]  # Celery has no types
    """See the module. What a database lacks for a moment is tried again, longer apart each time."""

    abstract = True
    #: A worker that dies gives its message back.
    acks_late = True
    reject_on_worker_lost = True
    autoretry_for = (DatabaseBusy, DatabaseUnavailable, TenantMigrating)
    max_retries = 5
    retry_backoff = True
    retry_backoff_max = 60
    retry_jitter = True

    def apply_async(self, args: Any = None, kwargs: Any = None, *arguments: Any, **options: Any) -> Any:
        """Send it for the tenant in context.

        A signature that was made in a context keeps its tenant and may be sent outside of one, as the rest of
        a chain is. Raises ``NoTenant``, and ``WrongTenant`` for a signature of another tenant's.
        """
        headers = self._headers(options)
        for follower in FOLLOWERS:
            self._bind(options.get(follower), headers[HEADER])
        return super().apply_async(args, kwargs, *arguments, headers=headers, **options)

    def apply(self, *arguments: Any, **options: Any) -> Any:
        """Run it here and at once, as if it had been sent."""
        return super().apply(*arguments, headers=self._headers(options), **options)

    def _headers(self, options: dict[str, Any]) -> dict[str, Any]:
        """Those of ``options``, which loses them, with the tenant's."""
        headers = dict(options.pop("headers", None) or {})
        return {**headers, HEADER: self._sender(headers.get(HEADER))}

    def _bind(self, signature: Any, tenant_id: str) -> None:
        """Give what is to follow the tenant, before anything is sent: the worker that sends it has left the
        tenant by then. Raises ``WrongTenant`` where it has another."""
        if isinstance(signature, list | tuple):
            for each in signature:
                self._bind(each, tenant_id)
            return
        if not isinstance(signature, dict):  # a signature is one, too
            return
        options, kwargs = signature.setdefault("options", {}), signature.get("kwargs") or {}
        for inner in (*map(kwargs.get, CANVAS), *map(options.get, FOLLOWERS)):
            if isinstance(inner, dict | list | tuple):
                self._bind(inner, tenant_id)
        if isinstance(self.app.tasks.get(signature.get("task")), TenantTask):
            headers = options.get("headers") or {}
            given = headers.get(HEADER)
            if given not in (None, tenant_id):
                raise WrongTenant(f"Task '{signature['task']}'", str(given), tenant_id)
            options["headers"] = {**headers, HEADER: tenant_id}

    def signature(self, args: Any = None, *arguments: Any, **options: Any) -> Any:
        """A signature remembers the tenant that it was made for."""
        signature = super().signature(args, *arguments, **options)
        tenant = current_tenant()
        if tenant is not None:
            headers = signature.options.get("headers") or {}
            signature.options["headers"] = {HEADER: tenant.id, **headers}
        return signature

    subtask = signature  # Celery's own calls go by this name

    def _sender(self, given: object) -> str:
        tenant = current_tenant()
        if tenant is None:
            if given is None or in_request():
                raise NoTenant(f"Task '{self.name}'")
            return str(given)
        if given not in (None, tenant.id):
            raise WrongTenant(f"Task '{self.name}'", str(given), tenant.id)
        return tenant.id

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In a worker: enter the message's tenant, run, leave. Called as a function it is a function.

        Raises ``NoTenant`` for a message without the header, ``TenantNotFound`` for a tenant that was
        removed, and ``TenantNotServed`` for one that is suspended.
        """
        if self.request.called_directly or getattr(self.request, "has_entered", False):
            # Also by a task that is being run, which may have entered another tenant meanwhile.
            require_tenant(f"Task '{self.name}'")
            return self.run(*args, **kwargs)
        tenant_id = (self.request.headers or {}).get(HEADER)
        if not isinstance(tenant_id, str):
            raise NoTenant(f"The message of task '{self.name}'")
        live.refresh()
        tenant = get_registry().get(tenant_id)
        if tenant.status is Status.SUSPENDED:
            raise TenantNotServed(tenant.id)
        self.request.has_entered = True
        with tenant_context(tenant):
            return self.run(*args, **kwargs)
