"""Work of a tenant in another thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tenancy import connections
from tenancy.context import carry, current_tenant
from tenancy.planes import CONTROL_ALIAS

P = ParamSpec("P")
R = TypeVar("R")


def in_thread(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, to be called in another thread for the tenant that is in context now::

        with ThreadPoolExecutor() as pool:
            future = pool.submit(in_thread(count_products))

    A thread starts with no tenant and fails closed; this takes the tenant along. Connections belong to
    the thread that opened them, and nobody closes them for it: those of this tenant and of the control
    plane are closed when the call ends.
    """
    tenant = current_tenant()
    home = threading.get_ident()
    carried = carry(function)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return carried(*args, **kwargs)
        finally:
            if threading.get_ident() != home:
                connections.close(CONTROL_ALIAS)
                if tenant is not None:
                    connections.close(tenant.id)

    return called
