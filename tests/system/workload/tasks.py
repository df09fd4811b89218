from __future__ import annotations

import os

from celery import shared_task

from catalog.models import Product
from tenancy.context import current_tenant_id
from tenancy.tasks import TenantTask


@shared_task(base=TenantTask, name="workload.skus")
def skus():
    return [os.getpid(), sorted(Product.objects.values_list("sku", flat=True))]


@shared_task(name="workload.whose")
def whose():
    return [os.getpid(), current_tenant_id()]
