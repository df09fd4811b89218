"""Which tenant the running code works for.

The tenant is held by a context variable, so it follows tasks and ``sync_to_async`` and never reaches a
new thread by itself: a thread starts with no tenant and fails closed. ``carry()`` takes it along.

What the variable holds is a *frame*. A block's frame keeps its tenant. A request's frame is made empty by
the outermost middleware, filled once by authentication (which runs deeper, in DRF, and under ASGI in
another thread) and emptied when the request ends; whoever still holds it then finds no tenant.

A frame is also a scope: the connections that are opened under it are held by it, and given back when it
ends (see ``tenancy.connections``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, Protocol, TypeVar

from tenancy.exceptions import (
    NoRequestScope,
    NoTenant,
    TenantLocked,
    TenantNotServed,
    TransactionLeftOpen,
)
from tenancy.registry import get_registry
from tenancy.tenant import Status, Tenant

P = ParamSpec("P")
R = TypeVar("R")


class Held(Protocol):
    """What a frame holds until it ends: a connection."""

    def give_back(self) -> bool:
        """The scope is over. Returns False where another thread is in the middle of something, which closes
        it when that is done. Raises ``TransactionLeftOpen``."""


class Frame:
    """What the running code works for. Made and filled by this module only."""

    __slots__ = (
        "endings",
        "followers",
        "held",
        "is_request",
        "leader",
        "outer",
        "request_id",
        "tenant",
        "tenant_id",
        "user_id",
    )

    def __init__(
        self,
        tenant: Tenant | None,
        *,
        is_request: bool = False,
        request_id: str = "",
        user_id: str = "",
        outer: Frame | None = None,
        leader: Frame | None = None,
    ) -> None:
        #: Frames of what a request handed to others: they get its tenant, and lose it, with this one.
        self.followers: list[Frame] = []
        self.leader = leader
        self.hold(tenant)
        self.is_request = is_request
        self.request_id = request_id
        self.user_id = user_id
        #: The frame around it, whose connections are used before others are opened.
        self.outer = outer
        #: Connections, by thread and alias. ``tenancy.connections`` puts them here.
        self.held: dict[tuple[int, str], Any] = {}
        #: One, to be taken by the thread that ends it.
        self.endings = [True]

    def hold(self, tenant: Tenant | None) -> None:
        self.tenant = tenant
        #: Beside it, for those who ask several times a query.
        self.tenant_id = None if tenant is None else tenant.id
        for frame in self.followers:
            frame.hold(tenant)

    def has_ended(self) -> bool:
        return not self.endings

    def end(self) -> None:
        """Give back what is held. Raises ``TransactionLeftOpen`` when that is done.

        A request's frame is emptied first: whoever still works under it must find no tenant when the
        connection has gone to others.
        """
        try:
            self.endings.pop()
        except IndexError:
            return  # another thread ends it, or has: a stream's scope is ended by whoever comes first
        if self.is_request:
            self.hold(None)
        left_open: TransactionLeftOpen | None = None
        for key, connection in list(self.held.items()):
            try:
                if connection.give_back():
                    self.held.pop(key, None)
            except TransactionLeftOpen as exc:
                self.held.pop(key, None)
                left_open = exc
        if left_open is not None:
            raise left_open


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
    """Work under a frame, and under the one before again. Ends nothing.

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
        with _entered(outer):
            yield tenant
    else:
        mine = Frame(tenant, outer=outer)
        try:
            with _entered(mine):
                yield tenant
        finally:
            mine.end()


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
        _frame.set(NOBODY)
        mine.end()


def enter_request(tenant: Tenant) -> None:
    """Bind the open request scope to ``tenant``, once.

    Only authentication calls this. Raises ``NoRequestScope`` when the middleware is missing,
    ``TenantLocked`` when the request is bound to another tenant already, and ``TenantNotServed`` for one that
    is suspended: jobs and migrations may enter it, requests may not.
    """
    frame = _request_frame()
    if tenant.status is Status.SUSPENDED:
        raise TenantNotServed(tenant.id)
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
    return frame.leader or frame


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, to be called later or elsewhere, but for the tenant that is in context now.

    For callbacks, and for what is handed to another thread::

        with ThreadPoolExecutor() as pool:
            future = pool.submit(carry(count_products))

    A thread starts with no tenant and fails closed; this takes the tenant along, and gives back the
    connections that the call opened. Made in a request, it works until that request ends and then finds no
    tenant. Made without a tenant, it runs without one.
    """
    frame = _frame.get()
    if iscoroutinefunction(function):

        @functools.wraps(function)
        async def carried_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with _following(frame):
                return await function(*args, **kwargs)

        return carried_async  # type: ignore[return-value]  # a coroutine function, as given

    @functools.wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        with _following(frame):
            return function(*args, **kwargs)

    return carried


@contextmanager
def _following(leader: Frame) -> Iterator[None]:
    """Work for whom another frame works, and no longer than it does if it is a request's."""
    mine = Frame(
        leader.tenant,
        is_request=leader.is_request,
        request_id=leader.request_id,
        user_id=leader.user_id,
        outer=_frame.get(),
        leader=leader if leader.is_request else None,
    )
    if leader.is_request:
        leader.followers.append(mine)
        mine.hold(leader.tenant)  # again: it may have ended in between
    try:
        with _entered(mine):
            yield
    finally:
        if leader.is_request:
            leader.followers.remove(mine)
        mine.end()


class OutlivingScope:
    """The scope of a request, for the part of it that comes after: the body of a streamed response.

    Made inside the request, whose connections it takes over: a cursor may be in the middle of its rows.
    ``entered()`` is a block in the same tenant, locked as the request was; ``end()`` empties it for whoever
    still holds it.
    """

    def __init__(self) -> None:
        frame = _request_frame()
        self._frame = Frame(frame.tenant, is_request=True, request_id=frame.request_id, user_id=frame.user_id)
        self._frame.held, frame.held = frame.held, {}

    def entered(self) -> AbstractContextManager[None]:
        return _entered(self._frame)

    def end(self) -> None:
        self._frame.end()
