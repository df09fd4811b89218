"""Settings, all of them from the environment. What production needs and lacks is an error that names it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from project import environment
from tenancy.compiled import Terms
from tenancy.database_url import parse_database_url
from tenancy.databases import Databases
from tenancy.exceptions import DatabaseURLError
from tenancy.live import LiveRegistry

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"


DEBUG = environment.flag("DEBUG")


def env(name: str, development: str) -> str:
    """The variable, or what will do for development only."""
    value = os.environ.get(name, "")
    if not value and not DEBUG:
        raise ImproperlyConfigured(f"{name} is not set. Production needs it; for development set DEBUG=1.")
    return value or development


SECRET_KEY = env("SECRET_KEY", "development-only-and-known-to-everybody-who-can-read-this-line")
ALLOWED_HOSTS = env("ALLOWED_HOSTS", "localhost,.localhost,127.0.0.1,[::1]").replace(" ", "").split(",")

# Which plane holds an app's tables, by its label. An app with models that neither names is refused.
TENANT_APPS = ["catalog"]
CONTROL_APPS = ["admin", "auth", "contenttypes", "sessions", "ledger", "audit", "users"]
INSTALLED_APPS = [
    "tenancy",  # first: its commands stand before those of the same name
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "tenancy.ledger",
    "tenancy.audit",
    "users",
    *TENANT_APPS,
    "project",
]

MIDDLEWARE = [
    "tenancy.middleware.TenantScopeMiddleware",  # outermost: it empties the context after everything else
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tenancy.rest.middleware.DatabaseFaultMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"
APPEND_SLASH = False  # an API that redirects loses bodies; a path without its slash is a 404

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

# Databases: the control plane, and one per tenant. "default" is empty on purpose, see docs/decisions.md.

TENANTS_FILE = Path(os.environ.get("TENANTS_FILE") or BASE_DIR / "tenants.yaml")
TENANCY_MAX_FILE_BYTES = 4 * 1024 * 1024

try:
    _control = parse_database_url(
        os.environ.get("CONTROL_DATABASE_URL") or "sqlite:///var/control.sqlite3",
        folder=BASE_DIR,
        environ=os.environ,
        placeholders=False,
    )
except DatabaseURLError as exc:
    raise ImproperlyConfigured(f"CONTROL_DATABASE_URL: {exc}.") from None

TENANCY_CACHE_DIR = Path(os.environ.get("TENANCY_CACHE_DIR") or VAR_DIR)
TENANCY_RELOAD_SECONDS = environment.seconds("TENANCY_RELOAD_SECONDS", 1.0)
TENANCY_REGISTRY = LiveRegistry(
    TENANTS_FILE,
    Terms(TENANTS_FILE.name, production=not DEBUG, control=_control, secret=SECRET_KEY),
    TENANCY_CACHE_DIR,
    seconds=TENANCY_RELOAD_SECONDS,
    max_bytes=TENANCY_MAX_FILE_BYTES,
)
DATABASES = Databases({"default": {}, "control": _control})
DATABASE_ROUTERS = ["tenancy.routers.TenantRouter"]
TENANCY_ATOMIC_REQUESTS = False  # a transaction of the tenant's around every call of the API
# Every path of the API, and every plain view, that answers without a token. A check refuses others.
TENANCY_OPEN_ROUTES = [
    "",
    "admin",
    "admin/",  # has a sign-in of its own
    "livez",
    "readyz",
    ".well-known/jwks.json",
    "account/password/",
    "account/invitation/",
    "api/token/",
    "api/token/refresh/",
    "api/token/revoke/",
    "api/password/reset/",
    "api/password/reset/confirm/",
    "api/invitations/accept/",
    "api/schema/",
    "api/docs/",
]
TENANCY_PROCESSES = int(os.environ.get("WEB_CONCURRENCY") or 1)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People

AUTH_USER_MODEL = "users.User"
USERS_UNICODE_LOCAL_PART = False
AUTHENTICATION_BACKENDS = ["users.backends.BrakedBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
SERVICE_NAME = "Freehold"  # in mails
# A password that is little more than one of these is refused: docs/security.md.
PASSWORD_WORDS = [SERVICE_NAME, "tenant", "admin", "owner", "member"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "users.variety.VarietyValidator"},
    {"NAME": "users.context_words.ContextWordsValidator", "OPTIONS": {"words": PASSWORD_WORDS}},
]

# Tokens

JWT_KEYS_DIR = Path(env("JWT_KEYS_DIR", str(VAR_DIR / "jwt-keys")))
JWT_ISSUER = env("JWT_ISSUER", "http://127.0.0.1:8000")
JWT_AUDIENCE = env("JWT_AUDIENCE", "freehold")
JWT_ALGORITHM = environment.choice("JWT_ALGORITHM", ("RS256", "ES256", "EdDSA", "HS256"))
JWT_KEY_PUBLISHED_BEFORE = timedelta(minutes=10)  # it signs: longer than others may keep what is published
TOKEN_FAMILY_LIFETIME = timedelta(days=7)  # however often it is refreshed
TOKEN_RETRY_WITHIN = timedelta(seconds=30)  # with the Idempotency-Key of the refresh whose answer was lost
SIMPLE_JWT = {
    "ALGORITHM": JWT_ALGORITHM,
    "SIGNING_KEY": None,  # its default is SECRET_KEY; users.tokens signs with the keys of JWT_KEYS_DIR
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(hours=12),
    "LEEWAY": timedelta(seconds=15),
    "USER_ID_CLAIM": "sub",
    "CHECK_REVOKE_TOKEN": False,
}

# Mail. The links in it lead to ACCOUNT_URL, whatever host a request came to.

ACCOUNT_URL = os.environ.get("ACCOUNT_URL") or f"{JWT_ISSUER.rstrip('/')}/account"
INVITATION_LIFETIME = timedelta(days=7)
API_KEY_LIFETIME = timedelta(days=90)  # of one that is made without a date
API_KEY_MAX_LIFETIME = timedelta(days=365)
PASSWORD_RESET_TIMEOUT = 3600
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL") or "no-reply@localhost"
try:
    _mail = urlsplit(os.environ.get("EMAIL_URL", ""))
    _mail_port = _mail.port
except ValueError:  # whose words hold the password
    raise ImproperlyConfigured("EMAIL_URL is no URL; write %2F for a / in the password.") from None
if _mail.scheme in ("smtp", "smtp+tls", "smtps"):
    EMAIL_HOST = _mail.hostname or "localhost"
    EMAIL_PORT = _mail_port or (465 if _mail.scheme == "smtps" else 587)
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
    EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.scheme == "smtp+tls", _mail.scheme == "smtps"
    EMAIL_TIMEOUT = 10
elif _mail.scheme:
    raise ImproperlyConfigured("EMAIL_URL has to be smtp+tls://USER:PASSWORD@HOST, smtps://… or smtp://….")
elif DEBUG:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# The API

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
REST_FRAMEWORK = {
    "NUM_PROXIES": environment.count("NUM_PROXIES", 0),  # in front, whose X-Forwarded-For is believed
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.authentication.TenantJWTAuthentication",
        "users.authentication.ApiKeyAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["users.permissions.MayUseTenant"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tenancy.rest.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "tenancy.rest.pagination.Pagination",
    "DEFAULT_SCHEMA_CLASS": "tenancy.rest.openapi.ApiSchema",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would describe what the schema describes better
    "EXCEPTION_HANDLER": "tenancy.rest.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "UPLOADED_FILES_USE_URL": False,  # a tenant's files have no URL: a view of the tenant's serves them
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Freehold",
    "DESCRIPTION": (
        "Every tenant owns its own database; your token says which one you work in.\n\n"
        "**To try calls from this page:** open *Sign in* (`POST /api/token/`), send your e-mail and "
        "password, copy `access` from the answer, press **Authorize** and paste it. An access token lasts "
        "five minutes; "
        "*Refresh* gives the next one.\n\n"
        "Every error is `{detail, code}`; a 503 says in `Retry-After` when to try again."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["users.permissions.Anyone"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": True, "displayRequestDuration": True},
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api",  # what follows is the tag
    "TAGS": [
        {"name": "token", "description": "Sign in, and stay so"},
        {"name": "me", "description": "Who you are"},
        {"name": "password", "description": "When you forgot it"},
        {"name": "members", "description": "Who belongs to your tenant"},
        {"name": "invitations", "description": "Who is to belong to it"},
        {"name": "keys", "description": "How machines get into your tenant"},
        {"name": "audit", "description": "What was done in your tenant"},
        {"name": "categories"},
        {"name": "products"},
    ],
    "ENUM_NAME_OVERRIDES": {"Role": "users.models.Role"},
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums"],
}

# Places and formats

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "tenancy.storage.TenantFileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
MEDIA_ROOT = VAR_DIR / "media"  # each tenant's files in a folder of its own; nothing serves them by itself

# Caches: "default" is the tenant's in context, "shared" is everybody's. No key of one is a key of the other.

_redis = os.environ.get("REDIS_URL", "")
if _redis:
    # Seconds: a server that does not answer must not hold a request.
    _options = {"socket_connect_timeout": 1, "socket_timeout": 1}
    CACHES = {
        "default": {"BACKEND": "tenancy.cache.RedisCache", "LOCATION": _redis, "OPTIONS": _options},
        "shared": {"BACKEND": "tenancy.cache.SharedRedisCache", "LOCATION": _redis, "OPTIONS": _options},
    }
else:
    # Two places: a tenant that fills its cache pushes nothing out of the shared one.
    _options = {"MAX_ENTRIES": 10_000}
    CACHES = {
        "default": {"BACKEND": "tenancy.cache.LocMemCache", "LOCATION": "tenants", "OPTIONS": _options},
        "shared": {"BACKEND": "tenancy.cache.SharedLocMemCache", "LOCATION": "shared", "OPTIONS": _options},
    }

# Tasks. Without a broker a task runs at once, in the process that sends it.

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "")
# A Redis keeps results as well; other brokers send them back to whoever asked.
CELERY_RESULT_BACKEND = os.environ.get("CELERY_RESULT_BACKEND") or (
    "rpc://" if CELERY_BROKER_URL and not CELERY_BROKER_URL.startswith("redis") else CELERY_BROKER_URL or None
)
TENANCY_CELERY_APP = "project.celery"
CELERY_TASK_ALWAYS_EAGER = not CELERY_BROKER_URL
CELERY_TASK_EAGER_PROPAGATES = True
# Seconds and times: a broker that is away must not hold the request that sends a task.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2}
CELERY_REDIS_RETRY_ON_TIMEOUT = False
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"retry_policy": {"timeout": 2.0, "max_retries": 1}}
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_RESULT_EXPIRES = timedelta(hours=1)  # what nobody fetched holds tenants' data
CELERY_TASK_TRACK_STARTED = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # a message that waits in one worker is one that no other takes
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # the log is LOGGING's, with the tenant in it
CELERY_TIMEZONE = "UTC"

# Security. TLS ends at the proxy in front, which says so in X-Forwarded-Proto.

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 0 if DEBUG else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
X_FRAME_OPTIONS = "DENY"
# W008 wants a redirect from http to https. A token sent in plain text has leaked already; redirecting
# would hide it. The proxy closes port 80, and probes use it without TLS.
SILENCED_SYSTEM_CHECKS = ["security.W008"]

# The log. The filter is on the handler, which sees the records of every logger, the libraries' too.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"tenant": {"()": "tenancy.log.TenantFilter"}},
    "formatters": {
        "console": {"()": "tenancy.log.LineFormatter" if DEBUG else "tenancy.log.JSONFormatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["tenant"], "formatter": "console"}
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        # A worker's own messages; the master, which has no settings, writes its few as it always does.
        "gunicorn.error": {"handlers": [], "propagate": True},
        # Warns on every HEAD that it drops the body, which is what HEAD means.
        "gunicorn.http.wsgi": {"level": "ERROR"},
    },
}
