import os

import pytest

pytest_plugins = ["tenancy.testing", "users.testing", "catalog.testing"]

# Asked for by name: minutes, and servers of its own (``make test-swarm``); packages of the system's
# (``make test-system``). CI runs both.
collect_ignore = [
    folder
    for folder, asked_for in (("swarm", "SWARM_REQUESTS"), ("system", "SYSTEM_TESTS"))
    if asked_for not in os.environ
]


@pytest.fixture(scope="session", autouse=True)
def _flush_remembers():
    from tests.flush import remembered  # not before Django is set up

    with remembered():
        yield
