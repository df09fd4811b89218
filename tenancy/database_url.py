"""Database URLs: from one line of text to Django's settings for an alias.

dj-database-url does the parsing. What stands around it keeps a URL from reaching another database than
the one it shows: an allow-list of options, secrets that are set only after the URL was taken apart, and
names that libpq cannot read as anything else. No error repeats any part of the URL but an option's name.
"""

from __future__ import annotations

import functools
import ipaddress
import os.path
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

import dj_database_url

from tenancy.exceptions import DatabaseURLError

ENGINES = {
    "sqlite": "tenancy.backends.sqlite3",
    "postgres": "tenancy.backends.postgresql",
    "postgresql": "tenancy.backends.postgresql",
}

#: libpq options that say how to talk to the server, never which server, database or session settings.
POSTGRESQL_OPTIONS = frozenset(
    {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni", "channel_binding"}
    | {"gssencmode", "require_auth", "ssl_min_protocol_version"}
)

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

#: How templates for new tenants are called, and drafts of them: names that are no tenant's.
TEMPLATE_PREFIXES = ("tenancy_template_", "tenancy_draft_")
#: Databases every PostgreSQL server has for its own upkeep.
MAINTENANCE_DATABASES = frozenset({"postgres", "template0", "template1"})

# Seconds and milliseconds that add up to an answer within 2.5 s when a server does not reply.
# connect_timeout counts per address of a host name; tcp_user_timeout is for connections already open.
_TIME_LIMITS = {
    "connect_timeout": 2,
    "tcp_user_timeout": 2000,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# '=', quotes and spaces would let a name be read as a connection string; '/' is a mistyped URL.
_DATABASE_NAME = re.compile(r"[^\s=/\\'\"\x00-\x1f]+")
# A name in ASCII, or an address: other letters have several spellings for one server.
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_PLACEHOLDER_BODY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
# What stands for a placeholder while the URL is taken apart; nobody can have written it.
_MARK = f"freehold{token_hex(8)}x"
_TOKEN = re.compile(rf"{_MARK}\d+x")


def parse_database_url(
    url: str,
    *,
    folder: Path,
    environ: Mapping[str, str],
    placeholders: bool = True,
    production: bool = False,
) -> dict[str, Any]:
    """Django's settings for ``url``. Raises ``DatabaseURLError``.

    A relative SQLite path is relative to ``folder``. ``placeholders`` allows ``${NAME}`` and
    ``${NAME:-fallback}`` in user and password, filled from ``environ``. ``production`` refuses a
    password that stands in the URL itself.
    """
    secrets: dict[str, str] = {}
    fallbacks: set[str] = set()
    if placeholders:
        url = _take_out_placeholders(url, environ, secrets, fallbacks)
    if "${" in url:
        raise DatabaseURLError("a placeholder that is not closed, or not allowed here; see the README")
    if url != url.strip() or not url.isprintable():  # urlsplit() would drop them without a word
        raise DatabaseURLError("a control character, or a space around it; remove it")
    parts = _split(url)
    scheme = parts.scheme
    if scheme not in ENGINES:
        raise DatabaseURLError(f"unknown scheme; use one of {', '.join(sorted(ENGINES))}")
    if not url.lower().startswith(f"{scheme}://"):
        raise DatabaseURLError(f"no '//' after the scheme; write {scheme}://")
    outside = f"{parts.netloc.rpartition('@')[2]} {parts.path} {parts.query} {parts.fragment}"
    if _TOKEN.search(outside):
        raise DatabaseURLError("placeholders may stand in the user and the password only")
    if "@" in outside and scheme != "sqlite":
        raise DatabaseURLError("a '@' after the host; write '/', '?', '#' and '@' in a password as %XX")
    _check_port(parts)
    options = _options(parts.query)
    try:
        parsed = dict(dj_database_url.parse(url))
    except ValueError:
        raise DatabaseURLError(
            "not a database URL; special characters in it must be percent-encoded"
        ) from None
    if parts.fragment:
        raise DatabaseURLError("a '#'; write it as %23")
    decoded = "".join(str(parsed[name]) for name in ("USER", "PASSWORD", "HOST", "NAME"))
    if not decoded.isprintable() or "\ufffd" in decoded:
        raise DatabaseURLError("an escape like %00 that is a control character or not UTF-8; remove it")
    password = str(parsed["PASSWORD"])
    if production and (_TOKEN.sub("", password) or fallbacks.intersection(_TOKEN.findall(password))):
        raise DatabaseURLError(
            "a password in plain text; in production take it from the environment with ${NAME}, without "
            "a fallback"
        )
    for name in ("USER", "PASSWORD"):
        # Once, in one go: what a secret itself holds is never expanded.
        parsed[name] = _TOKEN.sub(lambda token: secrets.get(token[0], token[0]), str(parsed[name]))
    settings: dict[str, Any] = {
        "ENGINE": ENGINES[scheme],
        "NAME": str(parsed["NAME"]),
        "SCHEMA": None,
        "OPTIONS": {},
        # Of connections outside of all scopes; for others the pool decides.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        # Without this Django makes every test database wait for one called "default".
        "TEST": {"DEPENDENCIES": []},
    }
    if scheme == "sqlite":
        return settings | _sqlite(settings["NAME"], parts, options, folder)
    return settings | _postgresql(parsed, parts, options)


def identity(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What two settings share when they reach the same tables, however their URLs are spelt."""
    if settings["ENGINE"].endswith("sqlite3"):
        return ("sqlite", os.path.realpath(settings["NAME"]))
    return (
        "postgresql",
        _server(str(settings["HOST"])),
        str(settings["PORT"] or 5432),
        str(settings["NAME"]),
        str(settings["SCHEMA"]),
    )


def is_same_database(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two settings reach one database, be it in two schemas."""
    return identity({**one, "SCHEMA": None}) == identity({**other, "SCHEMA": None})


@functools.lru_cache(maxsize=1024)
def _server(host: str) -> str:
    """One spelling for the spellings of a host that need no look-up."""
    if host.startswith("/"):
        return os.path.normpath(host)
    host = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return "localhost" if address.is_loopback else str(address)


def _take_out_placeholders(
    url: str, environ: Mapping[str, str], secrets: dict[str, str], fallbacks: set[str]
) -> str:
    """Replace each placeholder by a token that every URL parser leaves alone."""

    def replace(match: re.Match[str]) -> str:
        body = _PLACEHOLDER_BODY.fullmatch(match[1])
        if body is None:
            raise DatabaseURLError("a malformed placeholder; write ${NAME} or ${NAME:-fallback}")
        name, fallback = body[1], body[2]
        value = environ.get(name) or fallback
        if value is None:
            raise DatabaseURLError(f"environment variable {name} is unset or empty; set it")
        if not value.isprintable():
            raise DatabaseURLError(f"environment variable {name} holds a control character; remove it")
        token = f"{_MARK}{len(secrets)}x"
        secrets[token] = value
        if fallback:
            fallbacks.add(token)
        return token

    return _PLACEHOLDER.sub(replace, url)


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        raise DatabaseURLError("not a database URL; check the host") from None


def _check_port(parts: urllib.parse.SplitResult) -> None:
    try:
        port = parts.port
    except ValueError:
        raise DatabaseURLError(
            "not a port after the host; if it is part of the password, write '/', '?' and '#' as %XX"
        ) from None
    if port == 0:
        raise DatabaseURLError("port 0; libpq would take another")


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if name != "currentSchema" and name not in POSTGRESQL_OPTIONS:
            shown = name if re.fullmatch(r"[A-Za-z_]{1,40}", name) else "that"
            raise DatabaseURLError(
                f"option '{shown}' is not allowed; allowed are currentSchema, "
                + ", ".join(sorted(POSTGRESQL_OPTIONS))
            )
        if name in options:
            raise DatabaseURLError(f"option '{name}' is given twice; keep one")
        if not value.isprintable():
            raise DatabaseURLError(f"option '{name}' holds a control character; remove it")
        options[name] = value
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise DatabaseURLError(f"an unknown sslmode; use one of {', '.join(SSL_MODES)}")
    return options


def _sqlite(
    name: str, parts: urllib.parse.SplitResult, options: Mapping[str, str], folder: Path
) -> dict[str, Any]:
    if options:
        raise DatabaseURLError(f"option '{next(iter(options))}' is for PostgreSQL; remove it")
    if parts.netloc:
        raise DatabaseURLError("a host in an SQLite URL; a path needs three slashes, sqlite:///")
    if not name or name == ":memory:":
        raise DatabaseURLError("an SQLite URL needs a file; write sqlite:///path/to/file.sqlite3")
    # A relative name is joined and made absolute, so that no path can be read as a 'file:' URI.
    return {
        "NAME": os.path.realpath(folder / name),
        "OPTIONS": {
            "timeout": 2.0,  # seconds that a writer waits for another
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }


def _postgresql(
    parsed: Mapping[str, Any], parts: urllib.parse.SplitResult, options: dict[str, str]
) -> dict[str, Any]:
    name, host = str(parsed["NAME"]), str(parsed["HOST"])
    if host.startswith("/"):
        # The folder of a Unix socket, percent-encoded. urlsplit().hostname is in lower case; paths
        # are not.
        host = urllib.parse.unquote(parts.netloc.rpartition("@")[2].partition(":")[0])
    if not host:
        raise DatabaseURLError("no host; libpq would take one from its own environment")
    if "," in host:
        raise DatabaseURLError("several hosts; name one")
    if not host.startswith("/") and not _HOST.fullmatch(host):
        raise DatabaseURLError("a host that is neither a name in ASCII nor an address")
    if not name:
        raise DatabaseURLError("no database name; add it after the host, as in /acme")
    if len(name.encode()) > 63:
        raise DatabaseURLError("a database name over 63 bytes, which PostgreSQL would cut off")
    if not _DATABASE_NAME.fullmatch(name):
        raise DatabaseURLError("a database name with a space, a quote, '=', '/' or '\\'")
    if name in MAINTENANCE_DATABASES:
        raise DatabaseURLError(f"'{name}' is a maintenance database of PostgreSQL; name another")
    if name.startswith(TEMPLATE_PREFIXES):
        raise DatabaseURLError(f"'{name}' is called like a template for new tenants; name another")
    schema = options.pop("currentSchema", "public")
    if not _SCHEMA.fullmatch(schema):
        raise DatabaseURLError("a currentSchema that is not [a-z_][a-z0-9_]{0,62}; rename the schema")
    if schema.startswith("pg_") or schema == "information_schema":
        raise DatabaseURLError("a currentSchema that is PostgreSQL's own; name another")
    return {
        "NAME": name,
        "HOST": host,
        "PORT": str(parsed.get("PORT") or ""),
        "USER": str(parsed.get("USER") or ""),
        "PASSWORD": str(parsed.get("PASSWORD") or ""),
        "SCHEMA": schema,
        "OPTIONS": {**_TIME_LIMITS, **options},
    }
