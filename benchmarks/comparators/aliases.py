"""An alias for every tenant of the crowd, and no tenancy: for a loop that somebody writes by hand."""

import os

from benchmarks.comparators.common import *  # noqa: F403
from benchmarks.comparators.common import database
from benchmarks.stage import CROWD, crowd_id, crowd_place

#: Where the server is: a socket's folder, or a proxy's port.
PORT = os.environ.get("BENCH_PORT", "")


def _tenant(number: int) -> dict[str, object]:
    name, schema = crowd_place(number)
    place = {"HOST": "127.0.0.1", "PORT": PORT} if PORT else {}
    return database(name) | {"OPTIONS": {"options": f"-c search_path={schema}"}} | place


DATABASES = {"default": database("single")} | {crowd_id(number): _tenant(number) for number in range(CROWD)}
