"""A WSGI application called as a server calls it, without a server: what is timed is the application."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from benchmarks.stage import Guest

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def environ(guest: Guest, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """A request of a tenant's member, as gunicorn would hand it over (PEP 3333)."""
    path, _, query = path.partition("?")
    data = b"" if body is None else json.dumps(body).encode()
    found = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": guest.host,
        "HTTP_ACCEPT": "application/json",
        "HTTP_USER_AGENT": "benchmarks",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_AUTHORIZATION": f"Bearer {guest.token}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": data,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body is not None:
        found |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(data))}
    return found


def call(application: Application, request: dict[str, Any]) -> Reply:
    """Send one request and read the answer to its end. Django sends ``request_started`` when it is called,
    and ``request_finished`` when its answer is closed; both walk its connections."""
    request = {**request, "wsgi.input": io.BytesIO(request["wsgi.input"])}
    started: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started.extend((status, headers))

    answer: Any = application(request, start)
    try:
        body = b"".join(answer)
    finally:
        answer.close()
    status, headers = started
    return Reply(int(status[:3]), dict(headers), body)
