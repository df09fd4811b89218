"""``manage.py`` as a process of its own: what goes wrong is one line on stderr and an exit status, never a
traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
SECRET = "hunter2-s3cret"
GOOD = "version: 1\ntenants:\n  acme: {name: Acme, url: 'sqlite:///acme.sqlite3'}\n"
BAD = f"version: 1\ntenants:\n  acme: {{name: Acme, url: 'postgres://app:{SECRET}@db1/acme?host=db2'}}\n"


@pytest.fixture
def manage(tmp_path):
    """Runs ``manage.py`` as a process of its own, in development, with one tenant."""

    def run(*arguments, text=GOOD, stdout=subprocess.PIPE, **environ):
        (tmp_path / "tenants.yaml").write_text(text)
        development = {  # and nothing of the tests' own environment
            "PATH": os.environ["PATH"],
            "DEBUG": "1",
            "TENANTS_FILE": str(tmp_path / "tenants.yaml"),
            "CONTROL_DATABASE_URL": f"sqlite:///{tmp_path}/control.sqlite3",
            "JWT_KEYS_DIR": str(tmp_path / "keys"),
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", str(MANAGE), *arguments],
            env=development | environ,
            cwd=tmp_path,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stderr + (done.stdout or "")
        return done

    return run


@pytest.mark.parametrize("command", ["migrate", "showmigrations"])
def test_no_database_is_wrong_usage_that_names_the_aliases(manage, command):
    done = manage(command)
    assert done.returncode == 2
    assert done.stderr == ("CommandError: No database is named. Name one with --database: control, acme.\n")


def test_a_stock_command_without_a_database_names_the_aliases(manage):
    done = manage("sqlflush")
    assert done.returncode == 2
    assert done.stderr == "CommandError: No database is named. Name one with --database: control, acme.\n"


def test_an_unknown_alias_is_one_line_with_a_guess(manage):
    done = manage("migrate", "--database", "acmee")
    assert done.returncode == 1
    assert done.stderr == "CommandError: Unknown tenant 'acmee': did you mean 'acme'?\n"


def test_a_bad_tenants_file_is_what_migrate_says(manage):
    done = manage("migrate", "--database", "acme", text=BAD)
    assert done.returncode == 1
    assert done.stderr.startswith("error: tenants.yaml:3: tenants.acme.url: option 'host' is not allowed; ")
    assert done.stderr.count("\n") == 1


def test_tenants_check_works_with_a_bad_file(manage):
    done = manage("tenants", "check", text=BAD)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tenants.yaml:3: tenants.acme.url: option 'host' is not allowed; ")


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        pytest.param(
            {"DEBUG": ""}, "error: SECRET_KEY is not set. Production needs it; for dev", id="SECRET_KEY"
        ),
        pytest.param({"DEBUG": "maybe"}, "error: DEBUG is 'maybe'; write 1 or 0.", id="DEBUG"),
        pytest.param(
            {"CONTROL_DATABASE_URL": f"mysql://root:{SECRET}@db1/control"},
            "error: CONTROL_DATABASE_URL: unknown scheme; use one of postgres, postgresql, sqlite.",
            id="CONTROL_DATABASE_URL",
        ),
        pytest.param(
            {"CONTROL_DATABASE_URL": "postgres://root:${PW}@db1/control"},
            "error: CONTROL_DATABASE_URL: a placeholder that is not closed, or not allowed here",
            id="placeholder in CONTROL_DATABASE_URL",
        ),
    ],
)
def test_a_fault_in_the_environment_is_one_line_that_names_the_variable(manage, environ, line):
    done = manage("migrate", "--database", "acme", **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_database_that_is_not_there_is_one_line(manage):
    done = manage("createsuperuser", "--database", "control", "--noinput", "--email", "a@example.com")
    assert done.returncode == 1
    assert done.stderr == (
        "error: The database of 'control' is unavailable: its file is not there; "
        "`manage.py migrate --database control` makes it. (unable to open database file)\n"
    )


def test_wrong_usage_of_our_command_exits_2(manage):
    done = manage("tenants")
    assert done.returncode == 2
    assert "the following arguments are required: VERB" in done.stderr


@pytest.mark.parametrize("verb", ["list", "check"])
def test_a_reader_that_left_the_pipe_is_no_noise(manage, verb):
    """A small output lies in Python's buffer until the end, so the pipe breaks when it is flushed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = manage("tenants", verb, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
