"""Marks in every text: by them an answer, a log line and a row show whose they are."""

from __future__ import annotations

import re

# As it is, and as it stands in a URL.
_MARK = re.compile(r"C(?::|%3A)([a-z][a-z0-9-]*)(?::|%3A)", re.IGNORECASE)


def canary(tenant_id: str, text: str) -> str:
    """``text``, marked as the tenant's."""
    return f"C:{tenant_id}:{text}"


def owners(text: str) -> set[str]:
    """The tenants whose marks stand in ``text``."""
    return set(_MARK.findall(text))
