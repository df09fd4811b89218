"""A Celery worker in a thread of this process, with a broker in its memory."""

from __future__ import annotations

import threading
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.result import ResultBase
from django.db import connections

from tenancy.pool import pool

#: Seconds for a task that takes milliseconds.
LIMIT = 20


def make_app(**changes: Any) -> Celery:
    app = Celery("tests", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        broker_transport_options={"polling_interval": 0.01},
        worker_hijack_root_logger=False,
        task_default_queue=uuid.uuid4().hex,  # the memory is all apps'
        **changes,
    )
    return app


def answer_to(sent: ResultBase) -> Any:
    """What became of something that was sent, at once: Celery itself looks twice a second."""
    return sent.get(timeout=LIMIT, interval=0.005)


@contextmanager
def worker(app: Celery) -> Iterator[None]:
    """Takes tasks one at a time, in one thread, until the block is left."""

    @app.task(shared=False, name="tests.close")
    def close() -> None:
        connections.close_all()

    # It looks whether it is to end when something has come, or after two seconds; and then once more.
    nudges = [threading.Timer(seconds, close.delay) for seconds in (0.05, 0.1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Celery's own
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30, loglevel=None):
            yield
            for nudge in nudges:
                nudge.start()
    for nudge in nudges:
        nudge.join()


@contextmanager
def closing(app: Celery) -> Iterator[None]:
    """Around each test that has a worker: what that opened is closed."""
    try:
        yield
    finally:
        answer_to(app.tasks["tests.close"].delay())
        pool.discard_idle()
