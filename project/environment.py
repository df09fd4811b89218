"""Reading the environment, for settings and for the server's configuration."""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured


def flag(name: str) -> bool:
    """Whether a variable is on. Raises ``ImproperlyConfigured`` for what is neither on nor off."""
    text = os.environ.get(name, "").strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("", "0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name} is '{text}'; write 1 or 0.")
