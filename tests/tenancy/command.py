"""``manage.py tenants …``, in this process."""

from __future__ import annotations

import io

from django.core.management import call_command


def tenants(*arguments: str) -> tuple[object, str, str]:
    """The exit status, and what went to stdout and to stderr."""
    stdout, stderr = io.StringIO(), io.StringIO()
    try:
        call_command("tenants", *arguments, stdout=stdout, stderr=stderr)
    except SystemExit as exc:
        return exc.code, stdout.getvalue(), stderr.getvalue()
    return 0, stdout.getvalue(), stderr.getvalue()
