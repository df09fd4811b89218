"""``manage.py tenants …`` and ``manage.py report …``, in this process."""

from __future__ import annotations

import io

from django.core.management import call_command


def tenants(*arguments: str) -> tuple[object, str, str]:
    """The exit status, and what went to stdout and to stderr."""
    return called("tenants", *arguments)


def report(*arguments: str) -> tuple[object, str, str]:
    return called("report", *arguments)


def called(*arguments: str) -> tuple[object, str, str]:
    stdout, stderr = io.StringIO(), io.StringIO()
    try:
        call_command(*arguments, stdout=stdout, stderr=stderr)
    except SystemExit as exc:
        return exc.code, stdout.getvalue(), stderr.getvalue()
    return 0, stdout.getvalue(), stderr.getvalue()
