"""System checks. One fault, one id, one hint. E0xx: configuration; E1xx: models and migrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db.models import Model

from tenancy.loader import PlaneMigrationLoader
from tenancy.planes import CONTROL_ALIAS, Plane, plane_of_app
from tenancy.registry import get_registry

MIDDLEWARE = "tenancy.middleware.TenantScopeMiddleware"
ROUTER = "tenancy.routers.TenantRouter"

#: Apps whose rows mean nothing in another database: their keys differ from one to the next.
CONTROL_ONLY_APPS = frozenset({"admin", "auth", "contenttypes", "sessions", "sites"})


def check_tenants_file(**kwargs: Any) -> list[CheckMessage]:
    """E001: tenants.yaml is valid."""
    error = get_registry().error
    if error is None:
        return []
    return [
        Error(
            problem.describe(error.file),
            hint="Correct the file and run `manage.py tenants check`.",
            id="tenancy.E001",
        )
        for problem in error.problems
    ]


def check_no_default_database(**kwargs: Any) -> list[CheckMessage]:
    """E002: ``default`` is empty."""
    # Django fills in what an empty one lacks; none of that is a NAME.
    if not settings.DATABASES.get("default", {}).get("NAME"):
        return []
    return [
        Error(
            "DATABASES['default'] is configured. Short forms such as atomic() would use it, unseen.",
            hint=f"Leave it empty, {{}}, and call the control plane's database '{CONTROL_ALIAS}'.",
            id="tenancy.E002",
        )
    ]


def check_atomic_requests(**kwargs: Any) -> list[CheckMessage]:
    """E003: no alias sets ``ATOMIC_REQUESTS``, which opens every one that does on every request."""
    return [
        Error(
            f"DATABASES['{alias}'] sets ATOMIC_REQUESTS.",
            hint="Remove it and use tenant_atomic() or control_atomic().",
            id="tenancy.E003",
        )
        for alias, database in settings.DATABASES.items()
        if database.get("ATOMIC_REQUESTS")
    ]


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """E004: the scope's middleware is the outermost."""
    if list(settings.MIDDLEWARE[:1]) == [MIDDLEWARE]:
        return []
    return [
        Error(
            "The tenant scope is not the outermost middleware, so a tenant could outlive its request.",
            hint=f"Put '{MIDDLEWARE}' first in MIDDLEWARE.",
            id="tenancy.E004",
        )
    ]


def check_router(**kwargs: Any) -> list[CheckMessage]:
    """E005: the router is asked, and asked first."""
    if list(settings.DATABASE_ROUTERS[:1]) == [ROUTER]:
        return []
    return [
        Error(
            "The tenant router is not the first router, so another may choose a database.",
            hint=f"Put '{ROUTER}' first in DATABASE_ROUTERS.",
            id="tenancy.E005",
        )
    ]


def check_tenant_apps(**kwargs: Any) -> list[CheckMessage]:
    """E006: each of ``TENANT_APPS`` is installed under this label. E007: none is the control plane's."""
    messages: list[CheckMessage] = []
    for label in settings.TENANT_APPS:
        if label not in apps.app_configs:
            messages.append(
                Error(
                    f"TENANT_APPS names '{label}', and no installed app has this label.",
                    hint="Write the app's label, and install it.",
                    id="tenancy.E006",
                )
            )
        elif label in CONTROL_ONLY_APPS:
            messages.append(
                Error(
                    f"TENANT_APPS names '{label}', whose rows have other keys in every database.",
                    hint="Remove it; it lives in the control plane.",
                    id="tenancy.E007",
                )
            )
    return messages


def check_relations(**kwargs: Any) -> list[CheckMessage]:
    """E101: no relation, generic ones among them, leads from one plane to the other."""
    return [
        Error(
            f"'{model._meta.label}.{name}' leads to '{target}' in the other plane, where no key can follow.",
            hint="Keep the other row's UUID in a UUIDField.",
            obj=model,
            id="tenancy.E101",
        )
        for model in apps.get_models(include_auto_created=True)
        for name, target in _relations_across(model)
    ]


def _relations_across(model: type[Model]) -> Iterator[tuple[str, str]]:
    plane = plane_of_app(model._meta.app_label)
    for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
        related = field.related_model
        if isinstance(related, type) and plane_of_app(related._meta.app_label) is not plane:
            yield field.name, related._meta.label


def check_migration_dependencies(**kwargs: Any) -> list[CheckMessage]:
    """E102: no migration depends on one of the other plane, which its database will never have."""
    messages: list[CheckMessage] = []
    for plane in Plane:
        loader = PlaneMigrationLoader(None, load=False, plane=plane)
        loader.load_disk()
        messages += [
            Error(
                f"Migration {key[0]}.{key[1]} depends on '{app}', an app of the other plane.",
                hint="Remove the dependency; the two run on different databases.",
                id="tenancy.E102",
            )
            for key, migration in sorted(loader.disk_migrations.items())
            for app, _ in migration.dependencies
            if plane_of_app(app) is not plane
        ]
    return messages


CHECKS = (
    check_tenants_file,
    check_no_default_database,
    check_atomic_requests,
    check_middleware,
    check_router,
    check_tenant_apps,
    check_relations,
    check_migration_dependencies,
)
