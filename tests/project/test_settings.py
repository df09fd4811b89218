"""Settings: production has what it needs or says what it lacks, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from project import environment, settings

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = ("SECRET_KEY", "ALLOWED_HOSTS", "JWT_KEYS_DIR", "JWT_ISSUER", "JWT_AUDIENCE")


def manage(*arguments, **environment):
    """``manage.py`` as in production, but for ``environment``; None takes a variable away."""
    names = ("PATH", "HOME", "TENANTS_FILE", "CONTROL_DATABASE_URL", *REQUIRED)
    variables = {name: os.environ[name] for name in names if name in os.environ} | environment
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=ROOT,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_one_line(done, *texts):
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    for text in texts:
        assert text in done.stderr


def test_production_passes_the_deployment_check():
    done = manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues" in done.stdout


def test_the_deployment_check_can_fail():
    done = manage("check", "--deploy", "--fail-level", "WARNING", SECRET_KEY="short")
    assert done.returncode == 1
    assert "security.W009" in done.stderr


@pytest.mark.parametrize("name", REQUIRED)
def test_a_variable_that_production_lacks_is_named(name):
    assert_one_line(manage("check", **{name: None}), f"{name} is not set", "DEBUG=1")


def test_an_empty_variable_is_a_missing_one():
    assert_one_line(manage("check", SECRET_KEY=""), "SECRET_KEY is not set")


def test_debug_is_yes_or_no():
    assert_one_line(manage("check", DEBUG="maybe"), "DEBUG is 'maybe'")


def test_a_control_plane_that_cannot_be_is_named_without_its_secret():
    done = manage("check", CONTROL_DATABASE_URL="oracle://scott:tiger@db.internal/x")
    assert_one_line(done, "CONTROL_DATABASE_URL")
    assert "tiger" not in done.stderr


def test_development_needs_nothing():
    nothing = dict.fromkeys((*REQUIRED, "TENANTS_FILE", "CONTROL_DATABASE_URL"))
    done = manage("check", DEBUG="1", **nothing)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("1", "true", "True", "yes", "on", " 1 ")),
        *((text, False) for text in ("", "0", "false", "FALSE", "no", "off", " ")),
    ],
)
def test_a_flag_is_read(monkeypatch, text, expected):
    monkeypatch.setenv("DEBUG", text)
    assert environment.flag("DEBUG") is expected


@pytest.mark.parametrize("text", ["maybe", "2", "y", "t", "none", "1 1", "01"])
def test_a_flag_that_is_neither_is_refused(monkeypatch, text):
    monkeypatch.setenv("DEBUG", text)
    with pytest.raises(ImproperlyConfigured, match=f"DEBUG is '{text}'; write 1 or 0"):
        environment.flag("DEBUG")


@pytest.mark.parametrize(("text", "expected"), [("", 1.0), (" ", 1.0), ("0", 0.0), ("2.5", 2.5)])
def test_seconds_are_read(monkeypatch, text, expected):
    monkeypatch.setenv("TENANCY_RELOAD_SECONDS", text)
    assert environment.seconds("TENANCY_RELOAD_SECONDS", 1.0) == expected


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "inf", "1s"])
def test_seconds_that_are_none_are_refused(text):
    done = manage("check", TENANCY_RELOAD_SECONDS=text)
    assert_one_line(done, f"TENANCY_RELOAD_SECONDS is '{text}'", "a number of seconds, 0 or more")


def test_the_compiled_registry_is_kept_where_the_environment_says(tmp_path):
    done = manage("check", TENANCY_CACHE_DIR=str(tmp_path / "made"))
    assert done.returncode == 0, done.stderr
    assert sorted(file.suffix for file in (tmp_path / "made").iterdir()) == [".compiled", ".lock"]
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700


def test_a_folder_for_it_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "file").touch()
    done = manage("check", TENANCY_CACHE_DIR=str(tmp_path / "file"))
    assert done.returncode == 0
    assert "tenancy.W013" in done.stderr


def test_development_has_defaults_and_production_has_not(monkeypatch):
    monkeypatch.delenv("JWT_ISSUER")
    with pytest.raises(ImproperlyConfigured, match="JWT_ISSUER is not set"):
        settings.env("JWT_ISSUER", "default")
    monkeypatch.setattr(settings, "DEBUG", True)
    assert settings.env("JWT_ISSUER", "default") == "default"
    monkeypatch.setenv("JWT_ISSUER", "set")
    assert settings.env("JWT_ISSUER", "default") == "set"


def test_what_everything_else_rests_on():
    assert settings.MIDDLEWARE[0] == "tenancy.middleware.TenantScopeMiddleware"
    assert settings.DATABASE_ROUTERS == ["tenancy.routers.TenantRouter"]
    assert settings.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"] == ["users.permissions.MayUseTenant"]
    assert settings.PASSWORD_HASHERS[0] == "django.contrib.auth.hashers.Argon2PasswordHasher"
    assert settings.SIMPLE_JWT["ALGORITHM"] == "RS256"
    assert settings.SIMPLE_JWT["SIGNING_KEY"] is None
    assert not settings.DEBUG
