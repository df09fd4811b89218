"""What a request starts and does not wait for: mail.

With a broker a Celery worker does it; without one a thread of this process, which the process waits for when
it ends. Whoever asks is answered before, so that how long it takes, and whether it works, tells them nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from celery.exceptions import CeleryError
from django.conf import settings
from django.db import connections
from kombu.exceptions import OperationalError

from tenancy.planes import CONTROL_ALIAS

logger = logging.getLogger("users.later")

#: Threads that send mail. A server of mail that is slow holds these, and no request.
THREADS = 2
#: Mails that may wait in this process; what is more is dropped, and logged.
WAITING = 1000

_pool: tuple[int, ThreadPoolExecutor] | None = None
_waiting: set[Future[None]] = set()


def later(task: Any, *arguments: Any) -> None:
    """Let ``task``, a Celery task of the control plane's, be done soon. Never raises and never waits long."""
    if settings.CELERY_BROKER_URL:
        try:
            task.delay(*arguments)
        except (CeleryError, OperationalError, OSError) as exc:
            logger.warning("The broker takes no task, so this process does it: %s", type(exc).__name__)
        else:
            return
    if len(_waiting) >= WAITING:
        logger.error("%d mails wait already; %s is dropped.", WAITING, task.name)
        return
    future = _executor().submit(_do, task.run, *arguments)
    _waiting.add(future)
    future.add_done_callback(_waiting.discard)


def wait() -> None:
    """Until all that was begun in this process is done. For tests."""
    for future in list(_waiting):
        future.result()


def _do(run: Callable[..., object], *arguments: Any) -> None:
    try:
        run(*arguments)
    except Exception:
        logger.exception("A mail was not sent.")
    finally:
        # This thread is in no request, so nobody else gives back what it opened.
        connections[CONTROL_ALIAS].close()


def _executor() -> ThreadPoolExecutor:
    global _pool
    # Another process's threads are not here: after a fork there is a pool of one's own.
    if _pool is None or _pool[0] != os.getpid():
        _pool = os.getpid(), ThreadPoolExecutor(THREADS, thread_name_prefix="mail")
        _waiting.clear()
    return _pool[1]
