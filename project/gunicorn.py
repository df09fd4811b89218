"""gunicorn's configuration: threads in one process, and nothing written outside the project."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import Any

from project import environment

worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 30  # seconds without a sign of life before a worker is replaced
graceful_timeout = 10
keepalive = 5
accesslog = "-" if environment.flag("DEBUG") else None  # in production the proxy writes one
# By default it makes a socket in the home folder.
control_socket_disable = True
# Refused before Python sees them: a token has about 800 characters, a URL with filters some hundred.
limit_request_line = 4094
limit_request_field_size = 16_384


def post_worker_init(worker: Any) -> None:
    """Leave Ctrl-C to the master. A terminal sends it to both, and a worker that is told twice to stop can
    wait for itself until the master kills it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def when_ready(server: Any) -> None:
    """Say where the service is and, in the demo, how to use it."""
    address = server.LISTENERS[0].getsockname()
    if isinstance(address, str):
        return  # a Unix socket: a proxy knows where
    host, port = address[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    sys.stdout.write(f"\n  Ready: {base}/api/docs/   (admin: {base}/admin/)\n")
    if environment.flag("DEBUG"):
        sys.stdout.write(f"\n  Sign in as Ada and list products of her tenant:\n\n{_curl(base)}\n\n")
    sys.stdout.flush()


def _curl(base: str) -> str:
    """One line to paste: it signs in, cuts the token out of the answer and lists products."""
    body = shlex.quote('{"email": "ada@example.com", "password": "correct-horse-battery"}')
    sign_in = f"curl -s {base}/api/token/ -H 'Content-Type: application/json' -d {body}"
    token = f"""$({sign_in} | sed 's/.*"access":"\\([^"]*\\)".*/\\1/')"""
    return f'curl -s "{base}/api/products/?page_size=3" -H "Authorization: Bearer {token}"'
