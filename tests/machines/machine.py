"""What all machines have in common: workers that begin, go on and meet faults; and rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genaiops_dagster.records.clock import Clock
from tests.machines.cloud import Cloud
from tests.machines.simulation import Fault, Worker

FAULTS = st.sampled_from([*[Fault.NONE] * 12, *Fault])
MOST_WORKERS = 3


class Machine(RuleBasedStateMachine):
    """A history of workers over one cloud.

    A subclass has rules that `begin` work, `holds` after every step, and `redo` with
    `holds_at_rest` for the end: then everything that was begun is done again until it succeeds.
    """

    patience = 40.0
    """Seconds after which others take somebody for dead, in what the machine is about."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = self.make_cloud()
        self.simulation = self.cloud.simulation
        self.done: list[Worker] = []

    def make_cloud(self) -> Cloud:
        """The services before anything happened."""
        return Cloud()

    def begin(self, name: str, task: Callable[[Clock], Any], skew: float = 0.0) -> Worker:
        """Begin work, if there are not too many workers already."""
        return self.simulation.start(f"{name} by {len(self.simulation.workers)}", task, skew)

    @property
    def has_room(self) -> bool:
        """Whether another worker may begin."""
        return len(self.simulation.running) < MOST_WORKERS

    @precondition(lambda self: self.simulation.ready)
    @rule(which=st.integers(0, MOST_WORKERS - 1), calls=st.integers(1, 6), fault=FAULTS)
    def go_on(self, which: int, calls: int, fault: Fault) -> None:
        """Some worker's next calls happen, of which the last may fail."""
        ready = self.simulation.ready
        worker = ready[which % len(ready)]
        for call in range(calls):
            if worker in self.simulation.ready:
                self.simulation.step(worker, fault if call == calls - 1 else Fault.NONE)
                self.holds()

    @precondition(lambda self: self.simulation.ready)
    @rule(
        which=st.integers(0, MOST_WORKERS - 1),
        calls=st.integers(1, 60),
        fault=st.sampled_from([Fault.CRASH_BEFORE, Fault.CRASH_AFTER]),
    )
    def die(self, which: int, calls: int, fault: Fault) -> None:
        """Some worker goes on for a while, and its process dies."""
        worker = self.simulation.ready[which % len(self.simulation.ready)]
        for _ in range(calls):
            self._wake_and_step(worker)
        if not worker.ended and worker.wakes is None:
            self.simulation.step(worker, fault)

    @precondition(lambda self: len(self.simulation.running) > 1)
    @rule(turns=st.lists(st.integers(0, MOST_WORKERS - 1), min_size=8, max_size=60))
    def interleave(self, turns: list[int]) -> None:
        """Workers get in each other's way, without any fault."""
        for which in turns:
            if running := self.simulation.running:
                self._wake_and_step(running[which % len(running)])
                self.holds()

    def _wake_and_step(self, worker: Worker) -> None:
        """Let a worker go on, after the time for which it sleeps."""
        if worker.wakes is not None:
            self.simulation.seconds = max(self.simulation.seconds, worker.wakes)
        if not worker.ended:
            self.simulation.step(worker)

    @precondition(lambda self: self.simulation.running)
    @rule(share=st.sampled_from([0.01, 0.05, 0.2, 1.1, 10.0]))
    def wait(self, share: float) -> None:
        """Time passes, in which nobody does anything."""
        self.simulation.seconds += share * self.patience

    @invariant()
    def always(self) -> None:
        """What holds after every step."""
        self.holds()

    def teardown(self) -> None:
        """Bring everything to rest, and look again."""
        try:
            self.simulation.rest()
            self.redo()
            self.holds()
            self.holds_at_rest()
        except AssertionError as error:
            error.add_note("\n".join(self.simulation.history))
            raise
        finally:
            self.simulation.stop()

    def holds(self) -> None:
        """What must hold after every step."""

    def redo(self) -> None:
        """Do again, without faults, what was begun."""

    def holds_at_rest(self) -> None:
        """What must hold in the end."""
