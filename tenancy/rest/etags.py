"""Entity tags: conditional reads and writes (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
from typing import Any

from django.utils.http import parse_etags
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from tenancy.rest.errors import PreconditionFailed

_renderer = JSONRenderer()


def etag_of(data: Any) -> str:
    """A strong tag of a representation: equal exactly when the JSON is."""
    return f'"{hashlib.blake2b(_renderer.render(data), digest_size=16).hexdigest()}"'


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether ``If-None-Match`` says that the client has this representation (weak comparison)."""
    known = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in known or etag in {tag.removeprefix("W/") for tag in known}


def check_preconditions(request: Request, etag: str) -> None:
    """Raise ``PreconditionFailed`` unless the write may go ahead. Call under a lock of the row.

    ``If-Match`` compares strongly, so a weak tag never matches.
    """
    wanted = request.headers.get("If-Match")
    if wanted is not None and not {"*", etag} & set(parse_etags(wanted)):
        raise PreconditionFailed
    if "If-None-Match" in request.headers and is_unchanged(request, etag):
        raise PreconditionFailed("The object exists already, or is in the state you excluded.")
