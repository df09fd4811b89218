"""django-tenants: a schema each, chosen by host name, on one connection."""

from benchmarks.comparators.common import *  # noqa: F403
from benchmarks.comparators.common import CATALOG, DJANGO_APPS, MIDDLEWARE, PEOPLE, database

DATABASES = {"default": database("schemas", "django_tenants.postgresql_backend")}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
SHARED_APPS = ["django_tenants", "benchmarks.comparators.clients", *DJANGO_APPS, PEOPLE]
TENANT_APPS = [CATALOG]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware", *MIDDLEWARE]
TENANT_MODEL = "clients.Client"
TENANT_DOMAIN_MODEL = "clients.Domain"
