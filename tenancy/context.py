"""Which tenant the running code works for.

The tenant is held by a context variable, so it follows tasks and ``sync_to_async`` and never reaches a
new thread by itself: a thread starts with no tenant and fails closed. ``carry()`` takes it along.

What the variable holds is a *frame*. A block's frame never changes. A request's frame is made empty by
the outermost middleware, filled once by authentication (which runs deeper, in DRF, and under ASGI in
another thread) and emptied when the request ends; whoever still holds it then finds no tenant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar

from tenancy.exceptions import NoRequestScope, NoTenant, TenantLocked
from tenancy.registry import get_registry
from tenancy.tenant import Tenant

P = ParamSpec("P")
R = TypeVar("R")


class Frame:
    """What the running code works for. Made and filled by this module only."""

    __slots__ = ("is_request", "request_id", "tenant", "tenant_id", "user_id")

    def __init__(self, tenant: Tenant | None, *, is_request: bool = False, request_id: str = "") -> None:
        self.hold(tenant)
        self.is_request = is_request
        self.request_id = request_id
        self.user_id = ""

    def hold(self, tenant: Tenant | None) -> None:
        self.tenant = tenant
        #: Beside it, for those who ask several times a query.
        self.tenant_id = None if tenant is None else tenant.id


#: The frame of whoever works for no tenant.
NOBODY = Frame(None)

_frame: ContextVar[Frame] = ContextVar("tenancy_frame", default=NOBODY)

#: The frame in context. Not a function of ours: the router, a queryset and a connection ask several times a
#: query, and a call of Python's costs as much as all that they do with the answer.
current_frame = _frame.get


def current_tenant() -> Tenant | None:
    """The tenant in context, or None."""
    return _frame.get().tenant


def current_tenant_id() -> str | None:
    """The id of the tenant in context, or None."""
    return _frame.get().tenant_id


def require_tenant(what: str = "This operation") -> Tenant:
    """The tenant in context. Raises ``NoTenant``, which names ``what`` needed it."""
    tenant = current_tenant()
    if tenant is None:
        raise NoTenant(what)
    return tenant


def in_request() -> bool:
    """Whether the running code serves a request (where no database may be chosen by hand)."""
    return _frame.get().is_request


def current_request_id() -> str:
    """The id of the request that is being served; empty outside one."""
    return _frame.get().request_id


def current_user_id() -> str:
    """The id of the user whom the request's token names; empty where there is none (yet)."""
    return _frame.get().user_id


@contextmanager
def _entered(mine: Frame) -> Iterator[None]:
    """Work under a frame, and under the one before again.

    Not ``reset(token)``: in another context (a generator closed by another task) that raises and leaves
    the tenant in place. There we do not know what was before, so nothing is left.
    """
    outer = _frame.get()
    _frame.set(mine)
    try:
        yield
    finally:
        _frame.set(outer if _frame.get() is mine else NOBODY)


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
    if outer.is_request:
        if outer.tenant is None or outer.tenant.id != tenant.id:
            raise TenantLocked(tenant.id, outer.tenant.id if outer.tenant else None)
        # No frame of the block's own: a task started in it must lose its tenant with the request.
        mine = outer
    else:
        mine = Frame(tenant)
    with _entered(mine):
        yield tenant


@contextmanager
def request_scope(request_id: str = "") -> Iterator[None]:
    """Open an empty scope for one request and leave no tenant behind, whatever happens.

    Only the outermost middleware calls this. A tenant around it (a test that calls the client inside
    ``tenant_context``) is neither inherited nor restored: the token alone decides, and what comes
    after the request starts from nothing.
    """
    mine = Frame(None, is_request=True, request_id=request_id)
    _frame.set(mine)
    try:
        yield
    finally:
        mine.hold(None)
        _frame.set(NOBODY)


def enter_request(tenant: Tenant) -> None:
    """Bind the open request scope to ``tenant``, once.

    Only authentication calls this. Raises ``NoRequestScope`` when the middleware is missing, and
    ``TenantLocked`` when the request is bound to another tenant already.
    """
    frame = _request_frame()
    if frame.tenant is not None and frame.tenant.id != tenant.id:
        raise TenantLocked(tenant.id, frame.tenant.id)
    frame.hold(tenant)


def identify_user(user_id: object) -> None:
    """Note whose request this is, for the log. Only authentication calls this."""
    _request_frame().user_id = str(user_id)


def _request_frame() -> Frame:
    frame = _frame.get()
    if not frame.is_request:
        raise NoRequestScope
    return frame


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, to be called later or elsewhere, but for the tenant that is in context now.

    For callbacks, and for what is handed to a thread that closes its connections itself; for any other
    thread see ``tenancy.threads.in_thread``. Made in a request, it works until that request ends and
    then finds no tenant. Made without a tenant, it runs without one.
    """
    frame = _frame.get()
    if iscoroutinefunction(function):

        @functools.wraps(function)
        async def carried_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with _entered(frame):
                return await function(*args, **kwargs)

        return carried_async  # type: ignore[return-value]  # a coroutine function, as given

    @functools.wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        with _entered(frame):
            return function(*args, **kwargs)

    return carried


class OutlivingScope:
    """The scope of a request, for the part of it that comes after: the body of a streamed response.

    Made inside the request. ``entered()`` is a block in the same tenant, locked as the request was;
    ``end()`` empties it for whoever still holds it.
    """

    def __init__(self) -> None:
        frame = _request_frame()
        self._frame = Frame(frame.tenant, is_request=True, request_id=frame.request_id)
        self._frame.user_id = frame.user_id

    def entered(self) -> AbstractContextManager[None]:
        return _entered(self._frame)

    def end(self) -> None:
        self._frame.hold(None)
