"""Transactions that name their database: there is no default one.

The only module that may call Django's ``atomic()`` and ``on_commit()``; the linter refuses them elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from django.db import transaction

from tenancy.context import require_tenant
from tenancy.planes import CONTROL_ALIAS


def atomic_on(alias: str, *, durable: bool = False, savepoint: bool = True) -> AbstractContextManager[None]:
    """``transaction.atomic()`` on a database that is named: for maintenance, outside any context."""
    block: AbstractContextManager[None] = transaction.atomic(
        using=alias, durable=durable, savepoint=savepoint
    )
    return block


def tenant_atomic(*, durable: bool = False, savepoint: bool = True) -> AbstractContextManager[None]:
    """What ``transaction.atomic()`` is in a project with one database. Raises ``NoTenant``."""
    return atomic_on(require_tenant("A transaction").id, durable=durable, savepoint=savepoint)


def tenant_set_rollback() -> None:
    """Mark the tenant's open transaction: leaving it rolls it back. Raises ``NoTenant``."""
    transaction.set_rollback(True, using=require_tenant("A transaction").id)


def control_atomic(*, durable: bool = False, savepoint: bool = True) -> AbstractContextManager[None]:
    """A transaction on the control plane. No transaction spans both planes."""
    return atomic_on(CONTROL_ALIAS, durable=durable, savepoint=savepoint)


def tenant_on_commit(function: Callable[[], object], *, robust: bool = False) -> None:
    """Call ``function`` when the tenant's transaction is committed, or at once where there is none.

    It runs for the tenant in context now, whoever commits. ``robust`` logs its exception instead of
    raising it to whoever commits. Raises ``NoTenant``.
    """
    transaction.on_commit(function, using=require_tenant("A callback").id, robust=robust)


def control_on_commit(function: Callable[[], object], *, robust: bool = False) -> None:
    """The same for the control plane's transaction."""
    transaction.on_commit(function, using=CONTROL_ALIAS, robust=robust)
