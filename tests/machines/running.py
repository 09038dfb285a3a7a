"""Running a machine as often as a test run has time for."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machines.machine import Machine


def run(machine: type[Machine], examples: int, steps: int = 40) -> None:
    """Run a machine; a failure prints the history, and a seed that brings it back."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
