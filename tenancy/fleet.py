"""Many tenants, one after the other."""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from tenancy import connections
from tenancy.context import tenant_context
from tenancy.registry import get_registry
from tenancy.tenant import Status, Tenant

T = TypeVar("T")

logger = logging.getLogger("tenancy.fleet")


def each_tenant(*, include_suspended: bool = False) -> Iterator[Tenant]:
    """Every tenant in turn, in context, for loops of your own::

        for tenant in each_tenant():
            print(tenant.name, Product.objects.count())

    Each is entered before and left after its turn, and its connection is closed, so that a loop over a
    thousand tenants holds one. What one tenant raises ends the loop unless you catch it inside the
    body. Suspended tenants are left out: ``suspended_tenants()`` names them. Raises
    ``RegistryUnavailable`` when there is no valid tenants.yaml.

    This is the one place that yields inside a tenant block: the body of your loop is meant to run in
    it. However a ``for`` loop over it ends, by ``break`` and by exceptions too, Python closes the
    generator and the context is left. Do not keep it in a variable: then it lives as long as that.
    """
    registry = get_registry()
    registry.require()
    for tenant in registry:
        if tenant.status is Status.SUSPENDED and not include_suspended:
            continue
        with tenant_context(tenant):
            try:
                yield tenant
            finally:
                connections.close(tenant.id)


def suspended_tenants() -> list[Tenant]:
    """The tenants that ``each_tenant()`` leaves out."""
    return [tenant for tenant in get_registry() if tenant.status is Status.SUSPENDED]


class Result(enum.StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How one tenant's turn went: ``value`` when ok, ``error`` (one line, no secret) when not."""

    tenant: Tenant
    result: Result
    seconds: float = 0.0
    value: T | None = None
    error: str = ""


def run_each(function: Callable[[Tenant], T]) -> list[Outcome[T]]:
    """Call ``function`` in each tenant's context; what fails for one tenant stops no other.

    Suspended tenants are skipped, and are in the list as such. This is the only place that catches
    every exception: it is recorded for its tenant.
    """
    outcomes: list[Outcome[T]] = []
    for tenant in each_tenant():
        started = time.perf_counter()
        try:
            outcome = Outcome(tenant, Result.OK, value=function(tenant))
        except Exception as exc:
            logger.debug("Tenant '%s' failed.", tenant.id, exc_info=exc)
            outcome = Outcome(tenant, Result.FAILED, error=_first_line(exc))
        outcomes.append(replace(outcome, seconds=time.perf_counter() - started))
    outcomes += [Outcome(tenant, Result.SKIPPED, error="suspended") for tenant in suspended_tenants()]
    return outcomes


def _first_line(exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__
