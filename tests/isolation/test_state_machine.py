"""Hypothesis looks for a sequence of steps after which the service and its model differ.

``STATE_MACHINE=300x50`` (examples by steps) looks longer than the suite has time for.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tenancy import memory
from tenancy.testing import databases
from tests.isolation.machine import TenantsMachine

EXAMPLES, STEPS = (int(number) for number in os.environ.get("STATE_MACHINE", "100x40").split("x"))


def look(examples=EXAMPLES, phases=tuple(Phase)):
    run_state_machine_as_test(
        TenantsMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="STATE_MACHINE" not in os.environ,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


@databases("acme", "globex", transaction=True)
def test_no_sequence_of_steps_differs_from_the_model():
    look()


@databases("acme", "globex", transaction=True)
def test_without_memory_a_sequence_is_found(monkeypatch):
    """The negative control: querysets and objects that forget their tenant differ from the model."""
    monkeypatch.setattr(memory, "require_database", lambda *_: None)
    with pytest.raises((AssertionError, ExceptionGroup)):
        look(200, [Phase.generate])
