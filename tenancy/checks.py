"""System checks. One fault, one id, one hint.

0xx: configuration; 1xx: models and migrations; 2xx: views; 3xx: reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.cache import DEFAULT_CACHE_ALIAS, cache, caches
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models import AutoField, FileField, IntegerField, Model
from django.http.request import validate_host

from tenancy.cache import SharedCacheMixin, TenantCacheMixin
from tenancy.conf import DEFAULTS, conf
from tenancy.loader import PlaneMigrationLoader
from tenancy.models import TenantModel
from tenancy.planes import CONTROL_ALIAS, Plane, plane_of_app
from tenancy.private_folder import PrivateFolder
from tenancy.querysets import TenantManager, TenantQuerySet
from tenancy.registry import get_registry
from tenancy.reports.report import all_reports
from tenancy.rest.routes import all_routes
from tenancy.storage import TenantFileSystemStorage

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
    """E003: no alias sets ``ATOMIC_REQUESTS``, which opens every one that does on every request. A tenant's
    cannot: its settings are made from its URL, and are not looked at here."""
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


def check_planes(**kwargs: Any) -> list[CheckMessage]:
    """E008: every app with models is named in ``TENANT_APPS`` or ``CONTROL_APPS``. E009: in one of them."""
    labels = sorted({model._meta.app_label for model in apps.get_models(include_auto_created=True)})
    unclaimed = [
        Error(
            f"App '{label}' has models and lives nowhere: TENANT_APPS and CONTROL_APPS do not name it.",
            hint="Name it in TENANT_APPS if each tenant has rows of its own, else in CONTROL_APPS.",
            id="tenancy.E008",
        )
        for label in labels
        if plane_of_app(label) is None
    ]
    twice = [
        Error(
            f"App '{label}' is named in TENANT_APPS and in CONTROL_APPS.",
            hint="Remove it from one of them.",
            id="tenancy.E009",
        )
        for label in sorted(set(settings.TENANT_APPS) & set(settings.CONTROL_APPS))
    ]
    return [*unclaimed, *twice]


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


def check_caches(**kwargs: Any) -> list[CheckMessage]:
    """E010: the default cache is a tenant's, and each other one a tenant's or, by its class, everybody's."""
    return [
        Error(
            f"CACHES['{alias}'] may show one tenant what another put there.",
            hint="Use a backend of tenancy.cache, or derive one from its TenantCacheMixin. Only a cache "
            "that is not the default may be a SharedCacheMixin.",
            id="tenancy.E010",
        )
        for alias in settings.CACHES
        if not isinstance(caches[alias], TenantCacheMixin)
        and (alias == DEFAULT_CACHE_ALIAS or not isinstance(caches[alias], SharedCacheMixin))
    ]


def check_reload_seconds(**kwargs: Any) -> list[CheckMessage]:
    """E012: ``TENANCY_RELOAD_SECONDS`` is a number of seconds."""
    seconds = settings.TENANCY_RELOAD_SECONDS
    if type(seconds) in (int, float) and 0 <= seconds < float("inf"):
        return []
    return [
        Error(
            f"TENANCY_RELOAD_SECONDS is {seconds!r}.",
            hint="Write how many seconds lie between two looks at tenants.yaml; 0 never looks again.",
            id="tenancy.E012",
        )
    ]


def check_cache_folder(**kwargs: Any) -> list[CheckMessage]:
    """W013: what was compiled can be kept."""
    if PrivateFolder(Path(settings.TENANCY_CACHE_DIR)).is_writable():
        return []
    return [
        CheckWarning(
            f"Nothing can be kept in {settings.TENANCY_CACHE_DIR}, so every process reads tenants.yaml anew.",
            hint="Make it writable for the service's user, or set TENANCY_CACHE_DIR.",
            id="tenancy.W013",
        )
    ]


def check_pool_settings(**kwargs: Any) -> list[CheckMessage]:
    """E020: each setting of the pool is a number above zero. E021: they do not contradict each other."""
    wrong = [
        Error(
            f"{name} is {value!r}, no {'whole ' if isinstance(default, int) else ''}number above zero.",
            hint=f"Set it to one, or remove it: the default is {default}.",
            id="tenancy.E020",
        )
        for name, default in DEFAULTS.items()
        if not _is_positive(value := getattr(settings, name, default), whole=isinstance(default, int))
    ]
    if wrong or conf.tenant_share <= conf.pool_size:
        return list(wrong)
    return [
        Error(
            f"TENANCY_POOL_TENANT_SHARE, {conf.tenant_share}, is more than "
            f"TENANCY_POOL_SIZE, {conf.pool_size}.",
            hint="One tenant's share is part of the whole; a quarter is a good start.",
            id="tenancy.E021",
        )
    ]


def _is_positive(value: Any, *, whole: bool) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and 0 < value < float("inf")


def check_connection_budget(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W022: the server of each database that is named allows what all processes together may open.

    Asks PostgreSQL, so it runs where ``--database`` names an alias. All tenants' databases may lie on that
    server, and the control plane's too."""
    wanted = conf.processes * (conf.pool_size + conf.control_size)
    messages: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(setting::int * CASE name WHEN 'max_connections' THEN 1 ELSE -1 END) "
                "FROM pg_settings WHERE name IN "
                "('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
            )
            (allowed,) = cursor.fetchone()
        if wanted > allowed:
            messages.append(
                CheckWarning(
                    f"{conf.processes} processes may open {wanted} connections, and the server of '{alias}' "
                    f"allows {allowed}.",
                    hint="Lower TENANCY_POOL_SIZE, raise max_connections, or put a pooler in front.",
                    id="tenancy.W022",
                )
            )
    return messages


def check_hosts(**kwargs: Any) -> list[CheckMessage]:
    """W014: the host names in tenants.yaml are allowed. On one that is not, Django answers everybody 400."""
    refused = {
        host: tenant_id
        for host, tenant_id in get_registry().hosts.items()
        if not validate_host(host, settings.ALLOWED_HOSTS)
    }
    if not refused:
        return []
    host, tenant_id = next(iter(refused.items()))
    others = f" (and {len(refused) - 1:,} more)" if len(refused) > 1 else ""
    return [
        CheckWarning(
            f"tenants.{tenant_id}.hosts names '{host}', and ALLOWED_HOSTS does not allow it{others}.",
            hint="Add it there, or the domain that they have in common with a dot before it: '.example.com'.",
            id="tenancy.W014",
        )
    ]


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


def _tenant_models() -> list[type[Model]]:
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if plane_of_app(model._meta.app_label) is Plane.TENANT
    ]


def check_inheritance(**kwargs: Any) -> list[CheckMessage]:
    """E103: no model is in both planes, with its app in one and its table in the other."""
    return [
        Error(
            f"'{model._meta.label}' is built on '{parent._meta.label}' of the other plane, so its rows would "
            "be looked for in one and kept in the other.",
            hint="Write a model of its own, or move it to its parent's app.",
            obj=model,
            id="tenancy.E103",
        )
        for model in apps.get_models(include_auto_created=True)
        for parent in model._meta.get_parent_list()
        if plane_of_app(parent._meta.app_label) is not plane_of_app(model._meta.app_label)
    ]


def check_tenant_models(**kwargs: Any) -> list[CheckMessage]:
    """E104: each model of a tenant app is a ``TenantModel``. E105: so are its managers. W106: its key is no
    serial number."""
    messages: list[CheckMessage] = []
    for model in _tenant_models():
        if model._meta.auto_created:
            continue  # the table of a many-to-many field, of which tenancy.models makes a tenant model
        if not issubclass(model, TenantModel):
            messages.append(
                Error(
                    f"'{model._meta.label}' does not remember its tenant.",
                    hint="Derive it from tenancy.models.TenantModel.",
                    obj=model,
                    id="tenancy.E104",
                )
            )
            continue
        messages += [
            Error(
                f"'{model._meta.label}.{manager.name}' makes querysets that do not remember their tenant.",
                hint="Derive its queryset from tenancy.querysets.TenantQuerySet, and the manager from "
                "TenantManager.from_queryset(…).",
                obj=model,
                id="tenancy.E105",
            )
            for manager in model._meta.managers
            if not _remembers(manager)
        ]
        if isinstance(model._meta.pk, AutoField | IntegerField):
            messages.append(
                CheckWarning(
                    f"The keys of '{model._meta.label}' are numbers that begin at 1 in every tenant, so a "
                    "key taken to another tenant finds a row there.",
                    hint="Use a UUIDField(primary_key=True, default=uuid.uuid4).",
                    obj=model,
                    id="tenancy.W106",
                )
            )
    return messages


def _remembers(manager: Any) -> bool:
    """Not one that makes plain querysets itself, nor one whose relations would look at keys only."""
    return isinstance(manager, TenantManager) and isinstance(manager.get_queryset(), TenantQuerySet)


def check_storages(**kwargs: Any) -> list[CheckMessage]:
    """E011: the files of tenant models are kept in a folder per tenant."""
    return [
        Error(
            f"'{model._meta.label}.{field.name}' keeps the files of all tenants in one place.",
            hint="Make tenancy.storage.TenantFileSystemStorage the default of STORAGES, or the field's "
            "storage.",
            obj=model,
            id="tenancy.E011",
        )
        for model in _tenant_models()
        for field in model._meta.local_fields
        if isinstance(field, FileField) and not isinstance(field.storage, TenantFileSystemStorage)
    ]


def check_generic_relations(**kwargs: Any) -> list[CheckMessage]:
    """E107: no tenant model has a generic relation: a content type's key differs in every database."""
    # By the module's name: contenttypes may not be installed.
    return [
        Error(
            f"'{model._meta.label}.{field.name}' is a generic relation, and content types live in the other "
            "plane.",
            hint="Use a foreign key to each kind of object.",
            obj=model,
            id="tenancy.E107",
        )
        for model in _tenant_models()
        for field in model._meta.private_fields
        if type(field).__module__ == "django.contrib.contenttypes.fields"
    ]


def check_admin(**kwargs: Any) -> list[CheckMessage]:
    """E108: no tenant model is in the admin, whose log and permissions live in the other plane."""
    if not apps.is_installed("django.contrib.admin"):
        return []
    from django.contrib import admin  # late: it has models, and so needs the app to be installed

    return [
        Error(
            f"'{model._meta.label}' is registered in the admin, which works in the control plane.",
            hint="Unregister it; look after a tenant's data through its API, or in a command.",
            obj=model,
            id="tenancy.E108",
        )
        for site in admin.sites.all_sites
        for model in site._registry
        if plane_of_app(model._meta.app_label) is Plane.TENANT
    ]


def check_open_routes(**kwargs: Any) -> list[CheckMessage]:
    """E201: what answers without a token is on the list. E202: and what is on the list is there."""
    if not settings.ROOT_URLCONF:
        return []
    found = {route.path: route for route in all_routes()}
    listed = set(settings.TENANCY_OPEN_ROUTES)
    messages: list[CheckMessage] = [
        Error(
            f"Anyone may call '{path}', and TENANCY_OPEN_ROUTES does not list it.",
            hint="Make it a DRF view (@api_view) whose permission asks for a token, or list the path.",
            id="tenancy.E201",
        )
        for path, route in sorted(found.items())
        if route.is_open and path not in listed
    ]
    messages += [
        Error(
            f"TENANCY_OPEN_ROUTES lists '{path}', and no open view is there.",
            hint="Remove it from the list.",
            id="tenancy.E202",
        )
        for path in sorted(listed)
        if path not in found or not found[path].is_open
    ]
    return messages


def check_throttles(**kwargs: Any) -> list[CheckMessage]:
    """E203: what answers without a token has no throttle that counts in a tenant's cache."""
    if not settings.ROOT_URLCONF:
        return []
    return [
        Error(
            f"'{path}' answers without a token, and its {throttle.__name__} counts in a tenant's cache.",
            hint="Put tenancy.rest.throttling.SharedThrottleMixin before the throttle's class.",
            id="tenancy.E203",
        )
        for path, route in sorted({route.path: route for route in all_routes()}.items())
        if route.is_open
        for throttle in route.throttles
        if getattr(throttle, "cache", None) is cache
    ]


def check_reports(**kwargs: Any) -> list[CheckMessage]:
    """E301: every report is declared as it can be run."""
    try:
        all_reports()
    except ImproperlyConfigured as exc:
        return [
            Error(str(exc), hint="Until then no report runs; see the README, Reports.", id="tenancy.E301")
        ]
    return []


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
    check_planes,
    check_tenant_apps,
    check_caches,
    check_reload_seconds,
    check_cache_folder,
    check_pool_settings,
    check_relations,
    check_inheritance,
    check_tenant_models,
    check_storages,
    check_generic_relations,
    check_admin,
    check_hosts,
    check_open_routes,
    check_throttles,
    check_migration_dependencies,
    check_reports,
)

#: Run by ``check --deploy`` only.
DEPLOY_CHECKS = (check_connection_budget,)
