"""System checks. One fault, one id, one hint."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.core.exceptions import ImproperlyConfigured
from rest_framework_simplejwt import settings as jwt_settings

from users.keys import KeyTooShort, load_keys


def check_signing_keys(**kwargs: Any) -> list[CheckMessage]:
    """E001: there is a good key to sign tokens with. E002: it is long enough. Only with ``--deploy``: the
    first key is made by a command, which must run without one."""
    try:
        load_keys(Path(settings.JWT_KEYS_DIR))
    except KeyTooShort as exc:
        return [
            Error(
                str(exc),
                hint="Run `manage.py signingkey create`, and remove the short one when its tokens are over.",
                id="users.E002",
            )
        ]
    except ImproperlyConfigured as exc:
        return [Error(str(exc), hint="Run `manage.py signingkey create`.", id="users.E001")]
    return []


def check_account_url(**kwargs: Any) -> list[CheckMessage]:
    """I004: the links in mails lead somewhere. ``ACCOUNT_URL`` comes from ``JWT_ISSUER``, which may be any
    text."""
    url = urlsplit(settings.ACCOUNT_URL)
    if url.scheme in ("http", "https") and url.hostname:
        return []
    return [
        Info(
            f"ACCOUNT_URL is '{settings.ACCOUNT_URL}', and links in mails lead nowhere.",
            hint="Set ACCOUNT_URL, as in https://example.com/account.",
            id="users.I004",
        )
    ]


def check_secret_key(**kwargs: Any) -> list[CheckMessage]:
    """E003: ``SECRET_KEY`` signs no tokens. It is simplejwt's default, and whoever learns it would be
    everybody in every tenant."""
    if jwt_settings.api_settings.SIGNING_KEY not in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        return []
    return [
        Error(
            "SIMPLE_JWT['SIGNING_KEY'] is SECRET_KEY.",
            hint="Set it to None; tokens are signed with the keys of JWT_KEYS_DIR.",
            id="users.E003",
        )
    ]
