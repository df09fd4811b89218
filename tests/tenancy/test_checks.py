"""System checks: each fault by its id."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings

from tenancy import checks
from tenancy.checks import check_tenants_file
from tenancy.exceptions import Problem, TenantsFileError
from tenancy.registry import Registry

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
    "E004": (checks.check_middleware, {"MIDDLEWARE": list(reversed(settings.MIDDLEWARE))}),
    "E004 none": (checks.check_middleware, {"MIDDLEWARE": []}),
    "E005": (checks.check_router, {"DATABASE_ROUTERS": []}),
    "E006": (checks.check_tenant_apps, {"TENANT_APPS": ["catalog", "catalogue"]}),
    "E007": (checks.check_tenant_apps, {"TENANT_APPS": ["catalog", "sessions"]}),
}


@pytest.mark.parametrize(("name", "check", "wrong"), [(name, *fault) for name, fault in FAULTS.items()])
@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_a_fault_of_configuration_has_an_id_and_a_hint(name, check, wrong):
    with override_settings(**wrong):
        (error,) = check()
    assert error.id == f"tenancy.{name[:4]}"
    assert error.hint


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
