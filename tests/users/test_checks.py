"""The system check of the signing keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core import checks

from users.checks import check_account_url, check_secret_key, check_signing_keys
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


def test_a_key_that_is_too_short_has_a_fault_of_its_own(tmp_path, settings):
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # on purpose
    file = tmp_path / "short.pem"
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    settings.JWT_KEYS_DIR = tmp_path
    (error,) = check_signing_keys()
    assert error.id == "users.E002"
    assert "short.pem has 1024 bits, and 2048 are the least" in error.msg


@pytest.mark.parametrize("which", ["SECRET_KEY", "a fallback"])
def test_the_secret_key_may_not_sign_tokens(settings, which):
    assert check_secret_key() == []
    settings.SECRET_KEY_FALLBACKS = ["an-older-one"]
    signing = settings.SECRET_KEY if which == "SECRET_KEY" else "an-older-one"
    settings.SIMPLE_JWT = settings.SIMPLE_JWT | {"SIGNING_KEY": signing}
    (error,) = check_secret_key()
    assert error.id == "users.E003"
    assert signing not in error.msg + error.hint


def test_the_secret_key_is_what_simplejwt_would_sign_with(settings):
    """The negative control: nothing set is the fault."""
    settings.SIMPLE_JWT = {
        name: value for name, value in settings.SIMPLE_JWT.items() if name != "SIGNING_KEY"
    }
    assert [error.id for error in check_secret_key()] == ["users.E003"]


def test_it_is_registered_for_deployment_only():
    deployment = checks.registry.registry.get_checks(include_deployment_checks=True)
    assert check_signing_keys in deployment
    assert check_signing_keys not in checks.registry.registry.get_checks()


@pytest.mark.parametrize("url", ["freehold/account", "ftp://example.com/account", "https:///account", ""])
def test_links_that_lead_nowhere_are_told_of(settings, url):
    assert check_account_url() == []
    settings.ACCOUNT_URL = url
    (told,) = check_account_url()
    assert (told.id, told.level) == ("users.I004", checks.INFO)
    assert "ACCOUNT_URL" in told.hint
