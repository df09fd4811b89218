import gc
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# Thousands of tests are collected, and stay to the end: nobody need look through them for garbage.
gc.disable()

pytest_plugins = ["tenancy.testing", "users.testing", "catalog.testing"]

# Asked for by name: minutes, and servers of its own (``make test-swarm``); packages of the system's
# (``make test-system``). CI runs both.
collect_ignore = [
    folder
    for folder, asked_for in (("swarm", "SWARM_REQUESTS"), ("system", "SYSTEM_TESTS"))
    if asked_for not in os.environ
]

# Files that open no database: on a second engine they would find what they found on the first. A test sees
# that none of them names a database.
ENGINELESS = [
    "benchmarks",
    "project/test_layers.py",
    "project/test_lint.py",
    "project/test_openapi.py",
    "project/test_settings.py",
    "tenancy/reports/test_columns.py",
    "tenancy/reports/test_formats.py",
    "tenancy/reports/test_merges.py",
    "tenancy/reports/test_sketches.py",
    "tenancy/test_cache.py",
    "tenancy/test_compiler.py",
    "tenancy/test_document.py",
    "tenancy/test_manage_py.py",
    "tenancy/test_pool.py",
    "tenancy/test_storage.py",
    "tenancy/test_tenants_file.py",
    "users/test_email.py",
]
if os.environ.get("TEST_DATABASE") == "postgresql":
    collect_ignore += ENGINELESS

# Files that take longest, longest first. A process takes a whole file; one of these that came last would keep
# one busy while the other has nothing left.
LONGEST = [
    "tenancy/test_corpus.py",
    "project/test_object_matrix.py",
    "project/test_schemathesis.py",
    "isolation/test_primitives.py",
    "tenancy/reports/test_distributed.py",
    "isolation/test_mutants.py",
    "isolation/test_state_machine.py",
    "project/test_first_steps.py",
    "tenancy/test_hardening.py",
    "tenancy/reports/test_job.py",
]


def pytest_collection_modifyitems(items):
    place = {HERE / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _flush_remembers():
    from tests.flush import remembered  # not before Django is set up

    with remembered():
        yield
