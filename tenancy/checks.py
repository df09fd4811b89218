"""System checks. One fault, one id, one hint."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from tenancy.registry import get_registry


def check_tenants_file(**kwargs: Any) -> list[CheckMessage]:
    """E001: tenants.yaml is valid."""
    error = get_registry().error
    if error is None:
        return []
    return [
        Error(
            problem.describe(error.file),
            hint="Correct the file and run `manage.py tenants check`.",
            id="tenancy.E001",
        )
        for problem in error.problems
    ]
