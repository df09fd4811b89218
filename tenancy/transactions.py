"""Transactions on the database of the tenant in context."""

from __future__ import annotations

from contextlib import AbstractContextManager

from django.db import transaction

from tenancy.context import require_tenant


def tenant_atomic(*, durable: bool = False, savepoint: bool = True) -> AbstractContextManager[None]:
    """What ``transaction.atomic()`` is in a project with one database. Raises ``NoTenant``.

    There is no default database, so a bare ``atomic()`` raises; this names the tenant's.
    """
    tenant = require_tenant("A transaction")
    block: AbstractContextManager[None] = transaction.atomic(
        using=tenant.id, durable=durable, savepoint=savepoint
    )
    return block
