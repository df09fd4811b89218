"""The project's settings, as in production: tokens outlive a run, and a run may choose the pool's size."""

from __future__ import annotations

import os

from benchmarks.lifetime import LIFETIME
from project.settings import *  # noqa: F403
from project.settings import SIMPLE_JWT

SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] = LIFETIME
STATIC_ROOT = os.environ["BENCH_STATIC"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405


# Connections that this process may hold: for tenants, for one tenant, for the control plane; seconds to wait.
for _name, _kind in (
    ("TENANCY_POOL_SIZE", int),
    ("TENANCY_POOL_TENANT_SHARE", int),
    ("TENANCY_POOL_CONTROL_SIZE", int),
    ("TENANCY_POOL_WAIT", float),
):
    if _name in os.environ:
        globals()[_name] = _kind(os.environ[_name])
