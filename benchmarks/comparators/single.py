"""One database, stock simplejwt: what Django costs without tenants."""

from benchmarks.comparators.common import *  # noqa: F403
from benchmarks.comparators.common import database

DATABASES = {"default": database("single")}
