"""The bucket in memory and the emulator answer alike, whatever is done to them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genaiops_dagster.google_cloud.object_store import ObjectChangedError, ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from tests.machines.memory_bucket import MemoryBucket
from tests.machines.simulation import Simulation
from vertex_emulator.testing import RunningEmulator

NAMES = st.sampled_from(["a", "a/1", "a/2", "b"])
DATA = st.binary(max_size=4)
BACK = st.integers(0, 3)
"""How many generations ago the one was written that somebody goes by."""

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "write_once"]), NAMES, DATA),
        st.tuples(st.just("compare_and_set"), NAMES, DATA, BACK),
        st.tuples(st.just("open"), NAMES, BACK),
        st.tuples(st.sampled_from(["read", "exists", "delete", "list"]), NAMES),
    ),
    max_size=15,
)


class Side:
    """One of the two, with the generations that its objects have had."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._generations: dict[str, list[int]] = {}

    def do(self, operation: str, name: str, *given: Any) -> Any:
        """What an operation answers, generations as numbers by age."""
        try:
            return self._answer(operation, f"{self._prefix}{name}", *given)
        except (GoogleAPICallError, ObjectChangedError) as error:
            return type(error)

    def _answer(self, operation: str, name: str, *given: Any) -> Any:
        if operation == "list":
            found = self._store.list(name)
            return [(item.name.removeprefix(self._prefix), item.size) for item in found]
        if operation == "open":
            with self._store.open(name, self._generation(name, given[0]) or None) as opened:
                return opened.read()
        if operation == "compare_and_set":
            data, back = given
            self._store.compare_and_set(name, data, self._generation(name, back))
            return self._state(name)
        return getattr(self._store, operation)(name, *given), self._state(name)

    def _state(self, name: str) -> tuple[bytes, int] | None:
        """What an object holds, and how many generations it had before this one."""
        found = self._store.read_with_generation(name)
        if found is None:
            return None
        known = self._generations.setdefault(name, [])
        if found[1] not in known:
            known.append(found[1])
        assert known == sorted(known)
        return found[0], known.index(found[1])

    def _generation(self, name: str, back: int) -> int:
        """The generation so many writes ago; 0, for "there is none", before the first."""
        known = [0, *self._generations.get(name, [])]
        return known[max(0, len(known) - 1 - back)]


@given(operations=OPERATIONS)
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_both_answer_alike(emulated: ObjectStore, operations: list[tuple[Any, ...]]) -> None:
    memory = Side(ObjectStore(MemoryBucket(Simulation()), "bucket"), "")
    emulator = Side(emulated, f"{uuid.uuid4().hex}/")
    for operation in operations:
        assert memory.do(*operation) == emulator.do(*operation), operation


@pytest.fixture
def emulated(emulator: RunningEmulator) -> ObjectStore:
    return ObjectStore.connect(GoogleCloudSettings.from_environment())
