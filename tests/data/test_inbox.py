"""The inbox's ticks, on a bucket in memory: what is new, what waits, and what is remembered."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.data.inbox import (
    KEPT_NAMES,
    Cursor,
    complete,
    list_from,
    new_objects,
    read_seen,
    write_seen,
)
from genaiops_dagster.data.sensor import REPORTED_PER_TICK, look
from genaiops_dagster.google_cloud.object_store import StoredObject
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.use_case.data import Source
from tests.data.conftest import use_case_of
from tests.machines.cloud import Cloud
from tests.machines.simulation import START

ROW = b'{"question": "q", "answer": "a"}'
MARKED = {"completion_marker": "_SUCCESS"}


class Inbox:
    """A use case's inbox, and its sensor's cursor."""

    def __init__(self, **source: Any) -> None:
        self.use_case = use_case_of(source=source)
        self.cloud = Cloud()
        self.cursor = Cursor()
        self.runs: list[str] = []

    def put(self, *names: str, content: bytes = ROW) -> None:
        for name in names:
            self.cloud.store.write(self.use_case.inbox + name, content)

    def tick(self) -> list[str]:
        """Names of the objects that a tick reports; its cursor is kept."""
        now = START.timestamp() + self.cloud.simulation.seconds
        result = look(self.use_case, self.cloud.store, self.cursor, now)
        self.cursor = Cursor.model_validate_json(result.cursor or "")
        self.runs += [str(request.run_key) for request in result.run_requests or ()]
        prefix = self.cloud.store.uri(self.use_case.inbox)
        return [
            str(event.metadata["dagster/uri"].value).removeprefix(prefix)
            for event in result.asset_events
        ]

    def states(self) -> list[str]:
        """States that are kept in the bucket."""
        prefix = Layout(self.use_case.name).inbox_state("").removesuffix(".json.gz")
        return [one.name for one in self.cloud.store.list(prefix)]


def stored(name: str, generation: int = 1, updated: float = 0.0) -> StoredObject:
    return StoredObject(f"gs://b/{name}", name, generation, 10, updated)


def test_placeholders_and_markers_are_no_data() -> None:
    objects = [stored("in/"), stored("in/a.jsonl"), stored("in/_SUCCESS"), stored("in/b/c.jsonl")]
    ready, waiting = complete(objects, Source.model_validate(MARKED), now=1000.0)
    assert [one.name for one in ready] == ["in/a.jsonl"]
    assert [one.name for one in waiting] == ["in/b/c.jsonl"]


@pytest.mark.parametrize(("age", "is_ready"), [(29.9, False), (30.0, True)])
def test_an_object_waits_until_it_was_quiet_for_long_enough(age: float, is_ready: bool) -> None:
    ready, waiting = complete([stored("in/a.jsonl")], Source(quiet_seconds=30), now=age)
    assert (len(ready), len(waiting)) == (is_ready, not is_ready)


def test_objects_are_reported_in_order_and_forgotten_when_they_are_gone() -> None:
    objects = [stored("c"), stored("b", generation=2), stored("a")]
    batch = new_objects(objects, {"b": 1, "c": 1, "gone": 1}, Source(), limit=1)
    assert [one.name for one in batch.new] == ["a"]
    assert batch.backlog == 1
    assert batch.seen == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("in_order", "count", "expected"),
    [
        (True, KEPT_NAMES, "name-0000"),
        (True, KEPT_NAMES - 1, None),
        (False, KEPT_NAMES, None),
    ],
)
def test_an_inbox_is_listed_from_the_oldest_name_that_is_kept(
    in_order: bool, count: int, expected: str | None
) -> None:
    """Before that nothing was forgotten yet, and a late name may come before all others."""
    seen = {f"name-{n:04d}": 1 for n in range(count)}
    assert list_from(seen, Source(names_sort_by_time=in_order)) == expected


def test_a_run_that_is_due_waits_for_the_rest_of_the_objects() -> None:
    inbox = Inbox()
    inbox.put(*(f"{n:04d}.jsonl" for n in range(REPORTED_PER_TICK)), "z.unknown")
    assert len(inbox.tick()) == REPORTED_PER_TICK
    assert (inbox.runs, inbox.cursor.run_due, inbox.cursor.backlog) == ([], True, 1)
    assert inbox.tick() == ["z.unknown"]
    assert len(inbox.runs) == 1
    assert not inbox.cursor.run_due


def test_quarantined_objects_are_counted_over_all_ticks() -> None:
    inbox = Inbox()
    for number, name in enumerate(("a.pdf", "b.pdf"), 1):
        inbox.put(name)
        inbox.tick()
        assert inbox.cursor.quarantined == {"unknown_format": number}
    inbox.put("c.jsonl", content=b"")
    inbox.tick()
    assert inbox.cursor.quarantined == {"unknown_format": 2, "empty_object": 1}
    assert inbox.runs == []


def test_an_object_that_is_overwritten_waits_and_one_that_was_reported_does_not() -> None:
    inbox = Inbox(quiet_seconds=30)
    inbox.put("a.jsonl", "b.jsonl")
    inbox.cloud.simulation.seconds += 30.0
    assert inbox.tick() == ["a.jsonl", "b.jsonl"]
    inbox.put("b.jsonl")
    assert inbox.tick() == []
    assert inbox.cursor.waiting == 1
    inbox.cloud.simulation.seconds += 30.0
    assert inbox.tick() == ["b.jsonl"]
    assert len(inbox.runs) == 2


def test_an_object_that_became_fresh_again_without_a_change_keeps_no_run_waiting() -> None:
    """A marker that was removed: what was reported already is not late."""
    inbox = Inbox(**MARKED)
    inbox.put("one/a.jsonl", "one/_SUCCESS")
    assert inbox.tick() == ["one/a.jsonl"]
    inbox.cloud.store.delete(f"{inbox.use_case.inbox}one/_SUCCESS")
    inbox.put("two/b.jsonl", "two/_SUCCESS")
    assert inbox.tick() == ["two/b.jsonl"]
    assert (inbox.cursor.waiting, len(inbox.runs)) == (0, 2)


def test_the_present_state_is_kept_and_the_one_before_until_the_next_tick() -> None:
    """A tick that dies leaves the cursor at a state that is still there."""
    inbox = Inbox()
    for number in range(4):
        inbox.put(f"{number}.jsonl")
        inbox.tick()
        assert len(inbox.states()) == min(number + 1, 2)
    inbox.tick()
    assert len(inbox.states()) == 1
    assert len(read_seen(inbox.cloud.store, inbox.use_case.name, inbox.cursor.seen)) == 4


def test_a_state_that_came_back_is_not_deleted() -> None:
    inbox = Inbox()
    state = write_seen(inbox.cloud.store, inbox.use_case.name, {"a": 1})
    inbox.cursor = Cursor(seen=state, previous=state)
    inbox.tick()
    assert len(inbox.states()) == 1


def test_each_generation_is_a_version_of_its_own() -> None:
    inbox = Inbox()
    versions = []
    for _ in range(2):
        inbox.put("a.jsonl")
        now = START.timestamp()
        [event] = look(inbox.use_case, inbox.cloud.store, Cursor(), now).asset_events
        assert isinstance(event, dg.AssetMaterialization)
        versions.append((event.tags or {})["dagster/data_version"])
    assert versions == [f"{inbox.use_case.inbox}a.jsonl#{generation}" for generation in (1, 3)]
