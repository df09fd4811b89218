"""Settings that all comparators share: the project's, less what is about tenants."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from benchmarks.lifetime import LIFETIME

HOST = os.environ["BENCH_HOST"]


def database(name: str, engine: str = "django.db.backends.postgresql") -> dict[str, Any]:
    """Django's settings for a database on the benchmarks' server; its connections stay open."""
    return {"ENGINE": engine, "NAME": name, "HOST": HOST, "USER": "postgres", "CONN_MAX_AGE": None}


def _keys() -> tuple[str, str]:
    """The pair that Freehold signs with, as PEM."""
    (file,) = Path(os.environ["JWT_KEYS_DIR"]).glob("*.pem")
    private = serialization.load_pem_private_key(file.read_bytes(), password=None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return file.read_text(), public.decode()


DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["*"]
DJANGO_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
]
PEOPLE, CATALOG = "benchmarks.comparators.people", "benchmarks.comparators.catalog"
INSTALLED_APPS = [*DJANGO_APPS, PEOPLE, CATALOG]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "benchmarks.comparators.urls"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "people.User"
USE_TZ, USE_I18N, TIME_ZONE, LANGUAGE_CODE = True, False, "UTC", "en"
STATIC_URL = "static/"
STATIC_ROOT = os.environ["BENCH_STATIC"]
X_FRAME_OPTIONS = "DENY"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
# The views ask for it; it is off in the project too.
TENANCY_ATOMIC_REQUESTS = False

_private, _public = _keys()
SIMPLE_JWT = {
    "ALGORITHM": "RS256",
    "SIGNING_KEY": _private,
    "VERIFYING_KEY": _public,
    "ISSUER": os.environ["JWT_ISSUER"],
    "AUDIENCE": os.environ["JWT_AUDIENCE"],
    "ACCESS_TOKEN_LIFETIME": LIFETIME,
    "LEEWAY": timedelta(seconds=15),
    "USER_ID_CLAIM": "sub",
}
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tenancy.rest.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "tenancy.rest.pagination.Pagination",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
