"""A report whose every tenant takes a while, so that a worker can be killed in the middle."""

from __future__ import annotations

import os
import time

from django.db.models import Count

from catalog.models import Product
from tenancy.reports.columns import Column
from tenancy.reports.merges import Sum
from tenancy.reports.report import report


@report("slow", Column("currency", key=True), Column("products", int, Sum()))
def slow():
    """Products by currency, at leisure."""
    time.sleep(float(os.environ["WORKLOAD_SECONDS"]))
    return Product.objects.values("currency").annotate(products=Count("pk"))
