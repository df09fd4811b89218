"""Transactions that name their database: there is no default one.

The only module that may call Django's ``atomic()``; the linter refuses it elsewhere.
"""

from __future__ import annotations

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


def control_atomic(*, durable: bool = False, savepoint: bool = True) -> AbstractContextManager[None]:
    """A transaction on the control plane. No transaction spans both planes."""
    return atomic_on(CONTROL_ALIAS, durable=durable, savepoint=savepoint)
