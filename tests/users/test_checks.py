"""The system check of the signing keys."""

from __future__ import annotations

from django.core import checks

from users.checks import check_signing_keys
from users.keys import create_key


def test_a_folder_with_a_good_key_is_fine(tmp_path, settings):
    create_key(tmp_path)
    settings.JWT_KEYS_DIR = tmp_path
    assert check_signing_keys() == []


def test_a_folder_without_a_key_is_an_error_that_says_what_to_run(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path / "missing"
    (error,) = check_signing_keys()
    assert (error.id, error.level) == ("users.E001", checks.ERROR)
    assert "signingkey create" in error.hint


def test_it_is_registered_for_deployment_only():
    deployment = checks.registry.registry.get_checks(include_deployment_checks=True)
    assert check_signing_keys in deployment
    assert check_signing_keys not in checks.registry.registry.get_checks()
