"""Which tenant the running code works for.

The tenant is held by a context variable, so it follows tasks and ``sync_to_async`` and never reaches a
new thread by itself: a thread starts with no tenant and fails closed.

What the variable holds is a *frame*. A block's frame never changes. A request's frame is made empty by
the outermost middleware, filled once by authentication (which runs deeper, in DRF, and under ASGI in
another thread) and emptied when the request ends; whoever still holds it then finds no tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tenancy.exceptions import NoRequestScope, NoTenant, TenantLocked
from tenancy.registry import get_registry
from tenancy.tenant import Tenant


class _Frame:
    __slots__ = ("is_request", "tenant")

    def __init__(self, tenant: Tenant | None, *, is_request: bool = False) -> None:
        self.tenant = tenant
        self.is_request = is_request


_frame: ContextVar[_Frame | None] = ContextVar("tenancy_frame", default=None)


def current_tenant() -> Tenant | None:
    """The tenant in context, or None."""
    frame = _frame.get()
    return None if frame is None else frame.tenant


def require_tenant(what: str = "This operation") -> Tenant:
    """The tenant in context. Raises ``NoTenant``, which names ``what`` needed it."""
    tenant = current_tenant()
    if tenant is None:
        raise NoTenant(what)
    return tenant


def in_request() -> bool:
    """Whether the running code serves a request (where no database may be chosen by hand)."""
    frame = _frame.get()
    return frame is not None and frame.is_request


@contextmanager
def tenant_context(tenant: Tenant | str) -> Iterator[Tenant]:
    """Work for one tenant inside the block, and for the one before again after it.

    Takes a ``Tenant`` or its id. Raises ``TenantNotFound`` for an unknown id, and ``TenantLocked``
    inside a request that is bound to another tenant, or to none yet. Never ``yield`` inside the block:
    a generator's context is its caller's.
    """
    if isinstance(tenant, str):
        tenant = get_registry().get(tenant)
    outer = _frame.get()
    if outer is not None and outer.is_request:
        if outer.tenant is None or outer.tenant.id != tenant.id:
            raise TenantLocked(tenant.id, outer.tenant.id if outer.tenant else None)
        # No frame of the block's own: a task started in it must lose its tenant with the request.
        mine = outer
    else:
        mine = _Frame(tenant)
    _frame.set(mine)
    try:
        yield tenant
    finally:
        # Not reset(token): in another context (a generator closed by another task) that raises and
        # leaves the tenant in place. There we do not know what was before, so nothing is left.
        _frame.set(outer if _frame.get() is mine else None)


@contextmanager
def request_scope() -> Iterator[None]:
    """Open an empty scope for one request and leave no tenant behind, whatever happens.

    Only the outermost middleware calls this. A tenant around it (a test that calls the client inside
    ``tenant_context``) is neither inherited nor restored: the token alone decides, and what comes
    after the request starts from nothing.
    """
    mine = _Frame(None, is_request=True)
    _frame.set(mine)
    try:
        yield
    finally:
        mine.tenant = None
        _frame.set(None)


def enter_request(tenant: Tenant) -> None:
    """Bind the open request scope to ``tenant``, once.

    Only authentication calls this. Raises ``NoRequestScope`` when the middleware is missing, and
    ``TenantLocked`` when the request is bound to another tenant already.
    """
    frame = _frame.get()
    if frame is None or not frame.is_request:
        raise NoRequestScope
    if frame.tenant is not None and frame.tenant.id != tenant.id:
        raise TenantLocked(tenant.id, frame.tenant.id)
    frame.tenant = tenant
