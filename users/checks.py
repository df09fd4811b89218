"""System checks. One fault, one id, one hint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from users.keys import load_keys


def check_signing_keys(**kwargs: Any) -> list[CheckMessage]:
    """E001: there is a good key to sign tokens with. Only with ``--deploy``: the first key is made by a
    command, which must run without one."""
    try:
        load_keys(Path(settings.JWT_KEYS_DIR))
    except ImproperlyConfigured as exc:
        return [Error(str(exc), hint="Run `manage.py signingkey create`.", id="users.E001")]
    return []
