"""What ``tenants check --connect`` says of people; ``tenancy.doctor`` finds this module."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count

from tenancy.doctor import register
from tenancy.findings import Finding
from tenancy.registry import Registry
from users.models import Membership


@register
def memberships_without_tenant(registry: Registry) -> Iterator[Finding]:
    """Who belongs to a tenant that is gone would belong to the next one of that name."""
    counted = Membership.objects.order_by("tenant_id").values_list("tenant_id").annotate(Count("pk"))
    for tenant_id, count in counted:
        if tenant_id not in registry:
            people = "1 user belongs" if count == 1 else f"{count} users belong"
            yield Finding(
                "memberships",
                f"{people} to '{tenant_id}', which is not in tenants.yaml. Put the entry back, or take the "
                f"memberships away: `manage.py membership remove EMAIL {tenant_id}`, or in the admin.",
            )
