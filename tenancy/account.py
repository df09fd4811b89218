"""Whose account of the machine a command runs under."""

from __future__ import annotations

import getpass
import os


def account_name() -> str:
    """Its name; its number where it has none, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
