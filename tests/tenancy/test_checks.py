"""System checks: each fault by its id."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings

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
