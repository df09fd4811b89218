"""System checks: each fault by its id."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command
from django.db import connections, models
from django.test import override_settings
from django.test.utils import isolate_apps

from catalog.models import Product
from tenancy import checks
from tenancy.checks import check_tenants_file
from tenancy.exceptions import Problem, TenantsFileError
from tenancy.models import TenantModel
from tenancy.querysets import TenantManager, TenantQuerySet
from tenancy.registry import Registry
from tenancy.testing import changed_tenant, databases
from users.models import User

PROBLEMS = [Problem(3, "tenants.acme", "this id is reserved; choose another"), Problem(9, "", "not YAML")]


def refused():
    return override_settings(TENANCY_REGISTRY=Registry({}, error=TenantsFileError("tenants.yaml", PROBLEMS)))


def test_a_valid_file_passes():
    assert check_tenants_file() == []


def test_e001_tells_each_fault_of_tenants_yaml():
    with refused():
        errors = check_tenants_file()
    assert [error.id for error in errors] == ["tenancy.E001", "tenancy.E001"]
    assert [error.msg for error in errors] == [
        "tenants.yaml:3: tenants.acme: this id is reserved; choose another",
        "tenants.yaml:9: not YAML",
    ]
    assert all("manage.py tenants check" in error.hint for error in errors)


def test_the_check_is_registered():
    with refused():
        assert [error.id for error in run_checks()].count("tenancy.E001") == 2
        with pytest.raises(CommandError, match=r"tenants\.yaml:3: tenants\.acme"):
            call_command("check")
    assert not [error for error in run_checks() if error.id == "tenancy.E001"]


def ids(messages):
    return [message.id for message in messages]


def test_this_project_passes_every_check():
    assert [message for check in checks.CHECKS for message in check()] == []


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_every_check_is_registered(check):
    from django.core.checks.registry import registry

    assert check in registry.registered_checks


FAULTS = {
    "E002": (checks.check_no_default_database, {"DATABASES": {"default": {"NAME": "anything"}}}),
    "E003": (checks.check_atomic_requests, {"DATABASES": {"acme": {"ATOMIC_REQUESTS": True}}}),
    "E012": (checks.check_reload_seconds, {"TENANCY_RELOAD_SECONDS": "1"}),
    "E012 less": (checks.check_reload_seconds, {"TENANCY_RELOAD_SECONDS": -1}),
    "E012 true": (checks.check_reload_seconds, {"TENANCY_RELOAD_SECONDS": True}),
    "E012 inf": (checks.check_reload_seconds, {"TENANCY_RELOAD_SECONDS": float("inf")}),
    "W013": (checks.check_cache_folder, {"TENANCY_CACHE_DIR": Path("/dev/null/cache")}),
    "E004": (checks.check_middleware, {"MIDDLEWARE": list(reversed(settings.MIDDLEWARE))}),
    "E004 none": (checks.check_middleware, {"MIDDLEWARE": []}),
    "E005": (checks.check_router, {"DATABASE_ROUTERS": []}),
    "E006": (checks.check_tenant_apps, {"TENANT_APPS": ["catalog", "catalogue"]}),
    "E020": (checks.check_pool_settings, {"TENANCY_POOL_SIZE": 0}),
    "E020 text": (checks.check_pool_settings, {"TENANCY_POOL_WAIT": "1"}),
    "E020 part": (checks.check_pool_settings, {"TENANCY_POOL_SIZE": 1.5}),
    "E020 flag": (checks.check_pool_settings, {"TENANCY_BREAKER_FAILURES": True}),
    "E021": (checks.check_pool_settings, {"TENANCY_POOL_SIZE": 3, "TENANCY_POOL_TENANT_SHARE": 4}),
    "E007": (checks.check_tenant_apps, {"TENANT_APPS": ["catalog", "sessions"]}),
}


@pytest.mark.parametrize(("name", "check", "wrong"), [(name, *fault) for name, fault in FAULTS.items()])
@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_a_fault_of_configuration_has_an_id_and_a_hint(name, check, wrong):
    with override_settings(**wrong):
        (error,) = check()
    assert error.id == f"tenancy.{name[:4]}"
    assert error.hint


def test_w014_names_a_host_that_is_not_allowed():
    hosts = ("shop.acme.example", "acme.example", "elsewhere.org")
    with changed_tenant("acme", hosts=hosts):
        with override_settings(ALLOWED_HOSTS=[".acme.example"]):
            (warning,) = checks.check_hosts()
        assert warning.id == "tenancy.W014"
        assert warning.msg.startswith("tenants.acme.hosts names 'elsewhere.org'")
        with override_settings(ALLOWED_HOSTS=["example.com"]):
            (warning,) = checks.check_hosts()
        assert warning.msg.endswith("(and 2 more).")
        for allowed in (["*"], [*hosts]):
            with override_settings(ALLOWED_HOSTS=allowed):
                assert checks.check_hosts() == []


def test_e101_names_each_relation_that_leads_to_the_other_plane():
    """With people among the tenants, their groups, permissions and admin log are on the other side."""
    with override_settings(TENANT_APPS=["users"]):
        errors = checks.check_relations()
    assert set(ids(errors)) == {"tenancy.E101"}
    assert {error.msg.split()[0] for error in errors} >= {
        "'users.User.groups'",
        "'users.User.user_permissions'",
        "'admin.LogEntry.user'",
    }


def test_e102_names_each_migration_that_depends_on_the_other_plane():
    with override_settings(TENANT_APPS=["users"]):
        errors = checks.check_migration_dependencies()
    assert set(ids(errors)) == {"tenancy.E102"}
    assert any(error.msg.startswith("Migration users.0001_initial depends on 'auth'") for error in errors)


def test_e008_names_each_app_that_neither_plane_claims():
    with override_settings(CONTROL_APPS=["users", "auth", "sessions", "contenttypes", "ledger", "audit"]):
        (error,) = checks.check_planes()
    assert error.id == "tenancy.E008"
    assert "'admin'" in error.msg
    assert "CONTROL_APPS" in error.hint


def test_e009_names_each_app_that_both_planes_claim():
    with override_settings(CONTROL_APPS=[*settings.CONTROL_APPS, "catalog"]):
        (error,) = checks.check_planes()
    assert error.id == "tenancy.E009"
    assert "'catalog'" in error.msg


@isolate_apps("tests.workshop", "users")
def test_e103_names_each_model_whose_table_is_in_the_other_plane(monkeypatch):
    class Person(User):
        class Meta:
            app_label = "workshop"
            proxy = True

    class Smith(User):
        class Meta:
            app_label = "workshop"

    monkeypatch.setattr(checks.apps, "get_models", lambda **_: [Person, Smith, User])
    errors = checks.check_inheritance()
    assert set(ids(errors)) == {"tenancy.E103"}
    assert {error.obj for error in errors} == {Person, Smith}
    assert all("built on 'users.User'" in error.msg for error in errors)


def tenant_models(monkeypatch, *models):
    monkeypatch.setattr(checks, "_tenant_models", lambda: list(models))


@isolate_apps("tests.workshop")
def test_e104_names_each_tenant_model_that_remembers_nothing(monkeypatch):
    class Plain(models.Model):  # noqa: DJ008
        id = models.UUIDField(primary_key=True)

        class Meta:
            app_label = "workshop"

    tenant_models(monkeypatch, Plain)
    (error,) = checks.check_tenant_models()
    assert (error.id, error.obj) == ("tenancy.E104", Plain)
    assert "tenancy.models.TenantModel" in error.hint


class Forgetful(TenantManager):
    def get_queryset(self):
        return models.QuerySet(self.model)


@isolate_apps("tests.workshop")
def test_e105_names_each_manager_that_remembers_nothing(monkeypatch):
    class Managed(TenantModel):
        id = models.UUIDField(primary_key=True)
        objects = models.Manager()
        good = TenantQuerySet.as_manager()
        half = models.Manager.from_queryset(TenantQuerySet)()
        forgetful = Forgetful()

        class Meta:
            app_label = "workshop"

    tenant_models(monkeypatch, Managed)
    errors = checks.check_tenant_models()
    assert {(error.id, error.obj) for error in errors} == {("tenancy.E105", Managed)}
    for error, name in zip(errors, ("objects", "half", "forgetful"), strict=True):
        assert f"'workshop.Managed.{name}'" in error.msg


@isolate_apps("tests.workshop")
def test_w106_warns_of_keys_that_are_numbers(monkeypatch):
    class Numbered(TenantModel):
        class Meta:
            app_label = "workshop"

    tenant_models(monkeypatch, Numbered)
    (warning,) = checks.check_tenant_models()
    assert (warning.id, warning.obj) == ("tenancy.W106", Numbered)
    assert "UUIDField" in warning.hint


OURS = {"BACKEND": "tenancy.cache.LocMemCache"}
SHARED = {"BACKEND": "tenancy.cache.SharedLocMemCache"}
STOCK = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


@pytest.mark.parametrize(
    ("caches", "wrong"),
    [
        ({"default": OURS, "shared": SHARED}, []),
        ({"default": OURS, "shared": OURS}, []),
        ({"default": STOCK}, ["default"]),
        ({"default": STOCK | {"KEY_FUNCTION": "tenancy.cache.tenant_key"}}, ["default"]),  # clear() works
        ({"default": SHARED}, ["default"]),
        ({"default": OURS, "other": STOCK}, ["other"]),
    ],
)
def test_e010_names_each_cache_that_is_everybodys_without_saying_so(caches, wrong):
    with override_settings(CACHES=caches):
        errors = checks.check_caches()
    assert ids(errors) == ["tenancy.E010"] * len(wrong)
    assert all(f"'{alias}'" in error.msg for alias, error in zip(wrong, errors, strict=True))


@isolate_apps("tests.workshop")
def test_e011_names_each_file_field_whose_files_are_in_one_place(monkeypatch):
    class Filed(TenantModel):
        id = models.UUIDField(primary_key=True)
        good = models.FileField()
        bad = models.FileField(storage=FileSystemStorage())

        class Meta:
            app_label = "workshop"

    tenant_models(monkeypatch, Filed)
    (error,) = checks.check_storages()
    assert (error.id, error.obj) == ("tenancy.E011", Filed)
    assert "'workshop.Filed.bad'" in error.msg


@isolate_apps("tests.workshop", "django.contrib.contenttypes")
def test_e107_names_each_generic_relation(monkeypatch):
    class Tagged(TenantModel):
        id = models.UUIDField(primary_key=True)
        content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
        object_id = models.UUIDField()
        target = GenericForeignKey()

        class Meta:
            app_label = "workshop"

    tenant_models(monkeypatch, Tagged)
    (error,) = checks.check_generic_relations()
    assert (error.id, error.obj) == ("tenancy.E107", Tagged)
    assert "'workshop.Tagged.target'" in error.msg


def test_e108_names_each_tenant_model_in_the_admin(monkeypatch):
    assert checks.check_admin() == []
    monkeypatch.setitem(admin.site._registry, Product, admin.ModelAdmin(Product, admin.site))
    (error,) = checks.check_admin()
    assert (error.id, error.obj) == ("tenancy.E108", Product)
    monkeypatch.setattr(checks.apps, "is_installed", lambda _: False)
    assert checks.check_admin() == []


def test_e201_names_each_open_path_that_is_not_listed():
    listed = [path for path in settings.TENANCY_OPEN_ROUTES if path != "livez"]
    with override_settings(TENANCY_OPEN_ROUTES=listed):
        (error,) = checks.check_open_routes()
    assert error.id == "tenancy.E201"
    assert "'livez'" in error.msg


def test_e202_names_each_listed_path_that_is_not_open():
    with override_settings(TENANCY_OPEN_ROUTES=[*settings.TENANCY_OPEN_ROUTES, "api/me/", "nothing/"]):
        errors = checks.check_open_routes()
    assert ids(errors) == ["tenancy.E202", "tenancy.E202"]
    assert ["'api/me/'" in errors[0].msg, "'nothing/'" in errors[1].msg] == [True, True]


def test_a_project_without_urls_has_no_open_path():
    with override_settings(ROOT_URLCONF=""):
        assert checks.check_open_routes() == []


def test_settings_of_the_pool_may_be_left_out_and_fractions_of_a_second_are_numbers():
    with override_settings(TENANCY_POOL_WAIT=0.5, TENANCY_BREAKER_SECONDS=2):
        assert checks.check_pool_settings() == []


@databases("control")
def test_w022_compares_the_budget_of_all_processes_with_the_server():
    asked = {"databases": ["control"]}
    with override_settings(TENANCY_PROCESSES=3):
        assert checks.check_connection_budget(**asked) == []
    with override_settings(TENANCY_PROCESSES=50):
        messages = checks.check_connection_budget(**asked)
        assert ids(messages) == (["tenancy.W022"] if connections["control"].vendor == "postgresql" else [])
        assert checks.check_connection_budget(databases=None) == []
        assert all("50 processes may open 1400 connections" in message.msg for message in messages)


def test_a_report_that_cannot_be_run_is_a_mistake(monkeypatch):
    assert checks.check_reports() == []

    def all_reports():
        raise ImproperlyConfigured("Report 'x' …")

    monkeypatch.setattr(checks, "all_reports", all_reports)
    errors = checks.check_reports()
    assert ids(errors) == ["tenancy.E301"]
    assert errors[0].msg == "Report 'x' …"
