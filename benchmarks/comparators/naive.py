"""A database each, as tutorials do it: an alias for every tenant, a router and a context variable."""

import os

from benchmarks.comparators.common import *  # noqa: F403
from benchmarks.comparators.common import MIDDLEWARE, REST_FRAMEWORK, database

DATABASES = {
    "default": database("single"),
    **{f"t{number:05}": database(f"naive{number}") for number in range(int(os.environ["BENCH_TENANTS"]))},
}
DATABASE_ROUTERS = ["benchmarks.comparators.contextvar.Router"]
MIDDLEWARE = ["benchmarks.comparators.contextvar.middleware", *MIDDLEWARE]
REST_FRAMEWORK = REST_FRAMEWORK | {
    "DEFAULT_AUTHENTICATION_CLASSES": ["benchmarks.comparators.contextvar.Authentication"]
}
