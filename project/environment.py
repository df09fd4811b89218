"""Reading the environment, for settings and for the server's configuration."""

from __future__ import annotations

import math
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


def choice(name: str, choices: tuple[str, ...]) -> str:
    """A variable that is one of ``choices``, by default the first. Raises ``ImproperlyConfigured``."""
    text = os.environ.get(name, "").strip() or choices[0]
    if text not in choices:
        raise ImproperlyConfigured(f"{name} is '{text}'; write one of {', '.join(choices)}.")
    return text


def count(name: str, default: int) -> int:
    """A variable that counts something, 0 or more. Raises ``ImproperlyConfigured`` for anything else."""
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isascii() or not text.isdigit():
        raise ImproperlyConfigured(f"{name} is '{text}'; write a number, 0 or more.")
    return int(text)


def seconds(name: str, default: float) -> float:
    """A variable that counts seconds, 0 or more. Raises ``ImproperlyConfigured`` for anything else."""
    text = os.environ.get(name, "").strip()
    try:
        found = float(text or default)
    except ValueError:
        found = -1.0
    if not 0 <= found < math.inf:
        raise ImproperlyConfigured(f"{name} is '{text}'; write a number of seconds, 0 or more.")
    return found
