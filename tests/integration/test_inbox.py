"""The inbox sensor against Cloud Storage, through everything that loses or repeats files."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import dagster as dg
import pytest
from google.cloud import storage

from genaiops_dagster.data import sensor as inbox_sensor
from genaiops_dagster.data.inbox import Cursor
from genaiops_dagster.orchestration import workspace
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import UseCase
from tests.data.conftest import use_case_of
from tests.values import present, text_of
from vertex_emulator.testing import RunningEmulator


class Daemon:
    """Does with the results of ticks what Dagster's daemon does."""

    def __init__(self, use_case: UseCase) -> None:
        job = dg.define_asset_job(f"{use_case.name}_job")
        self.sensor = inbox_sensor.build_sensor(use_case, job)
        self.cursor: str | None = None
        self.runs: list[str] = []
        self.reported: Counter[tuple[str, str]] = Counter()
        self.quarantined: dict[str, str] = {}

    def tick(self, *, crash: bool = False) -> Cursor:
        """One tick; one that crashes reports events, but saves no cursor and launches no run."""
        with dg.build_sensor_context(
            cursor=self.cursor,
            instance=dg.DagsterInstance.ephemeral(),
            resources=build_resources(),
            sensor_name=self.sensor.name,
        ) as context:
            result = self.sensor.evaluate_tick(context)
        for event in result.asset_events:
            metadata = event.metadata
            uri = text_of(metadata["dagster/uri"])
            if "quarantined" in metadata:
                self.quarantined[uri] = text_of(metadata["quarantined"])
            else:
                self.reported[uri, text_of(metadata["generation"])] += 1
        if not crash:
            keys = [present(request.run_key) for request in present(result.run_requests)]
            self.runs += [key for key in keys if key not in self.runs]
            self.cursor = result.cursor
        return Cursor.model_validate_json(present(result.cursor))

    def drain(self) -> int:
        """Tick until nothing is left; how many ticks that took."""
        ticks = 1
        while self.tick().backlog:
            ticks += 1
        return ticks


class Inbox:
    """What a deliverer does."""

    def __init__(self, bucket: storage.Bucket, use_case: UseCase) -> None:
        self._bucket = bucket
        self._use_case = use_case

    def put(self, name: str, content: str = '{"question": "q", "answer": "a"}') -> tuple[str, str]:
        blob = self._bucket.blob(f"{self._use_case.inbox}{name}")
        blob.upload_from_string(content)
        return f"gs://{self._bucket.name}/{blob.name}", str(blob.generation)

    def updated(self, name: str) -> datetime:
        blob = self._bucket.get_blob(f"{self._use_case.inbox}{name}")
        assert blob is not None
        assert blob.updated is not None
        return blob.updated

    def stamp_alike(self, *names: str) -> None:
        """Change the metadata of objects in one request, until all say the same time."""
        for attempt in range(200):
            with self._bucket.client.batch():
                for name in names:
                    blob = self._bucket.blob(f"{self._use_case.inbox}{name}")
                    blob.metadata = {"attempt": str(attempt)}
                    blob.patch()
            if len({self.updated(name) for name in names}) == 1:
                return
        raise AssertionError("no two changes were made within a millisecond")

    def delete(self, name: str) -> None:
        self._bucket.blob(f"{self._use_case.inbox}{name}").delete()


def start(emulator: RunningEmulator, **source: object) -> tuple[Inbox, Daemon]:
    use_case = use_case_of(name=f"inbox_{uuid4().hex[:8]}", source=source)
    client = storage.Client(project=emulator.variables["GOOGLE_CLOUD_PROJECT"])
    bucket = client.bucket(emulator.variables["GENAIOPS_BUCKET"])
    return Inbox(bucket, use_case), Daemon(use_case)


def test_nothing_happens_while_nothing_is_new(emulator: RunningEmulator) -> None:
    inbox, daemon = start(emulator)
    assert daemon.tick().decision.startswith("0 objects")
    delivered = inbox.put("a.jsonl")
    daemon.tick()
    daemon.tick()
    assert daemon.reported == {delivered: 1}
    assert len(daemon.runs) == 1


def test_an_overwrite_of_the_newest_object_is_new(emulator: RunningEmulator) -> None:
    inbox, daemon = start(emulator)
    inbox.put("a.jsonl")
    first = inbox.put("b.jsonl")
    daemon.tick()
    second = inbox.put("b.jsonl")
    daemon.tick()
    assert daemon.reported[first] == daemon.reported[second] == 1
    assert len(daemon.runs) == 2


def test_a_deletion_starts_nothing_and_hides_nothing(emulator: RunningEmulator) -> None:
    inbox, daemon = start(emulator)
    inbox.put("a.jsonl")
    inbox.put("b.jsonl")
    daemon.tick()
    inbox.delete("b.jsonl")
    daemon.tick()
    assert len(daemon.runs) == 1
    late = inbox.put("aa.jsonl")
    again = inbox.put("b.jsonl")
    daemon.tick()
    assert daemon.reported[late] == daemon.reported[again] == 1
    assert len(daemon.runs) == 2


def test_objects_that_come_at_once_are_all_found(emulator: RunningEmulator) -> None:
    inbox, daemon = start(emulator)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(inbox.put, [f"2026-{n}.jsonl" for n in range(8)]))
    daemon.tick()
    assert daemon.reported == dict.fromkeys(together, 1)
    assert len(daemon.runs) == 1


def test_an_object_with_the_timestamp_of_the_newest_is_found(emulator: RunningEmulator) -> None:
    """A cursor that holds the time of the newest object would take the second for seen."""
    inbox, daemon = start(emulator)
    first = inbox.put("b.jsonl")
    daemon.tick()
    second = inbox.put("a.jsonl")
    inbox.stamp_alike("a.jsonl", "b.jsonl")
    daemon.tick()
    assert daemon.reported == {first: 1, second: 1}
    assert len(daemon.runs) == 2


def test_an_object_older_than_the_newest_that_was_seen_is_found(emulator: RunningEmulator) -> None:
    """By time and by name: it lay there, incomplete, while newer ones were reported."""
    inbox, daemon = start(emulator, completion_marker="_SUCCESS")
    older = inbox.put("a/1.jsonl")
    newer = inbox.put("b/1.jsonl")
    assert inbox.updated("a/1.jsonl") < inbox.updated("b/1.jsonl")
    inbox.put("b/_SUCCESS", "")
    daemon.tick()
    assert daemon.reported == {newer: 1}
    inbox.put("a/_SUCCESS", "")
    daemon.tick()
    assert daemon.reported == {newer: 1, older: 1}
    assert len(daemon.runs) == 1  # a batch that was seen to come is waited for


@pytest.mark.parametrize("count", [700, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_objects_are_reported_over_ticks_and_start_one_run(
    emulator: RunningEmulator, count: int
) -> None:
    inbox, daemon = start(emulator)
    with ThreadPoolExecutor(8) as pool:
        delivered = list(pool.map(inbox.put, [f"{n:05}.jsonl" for n in range(count)]))
    assert daemon.tick().backlog == count - inbox_sensor.REPORTED_PER_TICK
    assert daemon.runs == []
    assert daemon.drain() == -(-count // inbox_sensor.REPORTED_PER_TICK) - 1
    assert daemon.reported == dict.fromkeys(delivered, 1)
    assert len(daemon.runs) == 1


def test_a_crash_before_the_run_is_requested_repeats_the_tick(emulator: RunningEmulator) -> None:
    inbox, daemon = start(emulator)
    inbox.put("a.jsonl")
    daemon.tick()
    inbox.put("b.jsonl")
    before = daemon.tick(crash=True)
    after = daemon.tick()
    assert before == after
    assert len(daemon.runs) == 2
    daemon.tick()
    assert len(daemon.runs) == 2


def test_a_crash_after_the_run_was_requested_starts_no_second_one(
    emulator: RunningEmulator,
) -> None:
    inbox, daemon = start(emulator)
    inbox.put("a.jsonl")
    cursor = daemon.cursor
    daemon.tick()
    daemon.cursor = cursor
    daemon.tick()
    assert len(daemon.runs) == 1


def test_a_cursor_that_is_reset_starts_nothing_again(emulator: RunningEmulator) -> None:
    inbox, daemon = start(emulator)
    for name in ("a.jsonl", "b.jsonl"):
        inbox.put(name)
        daemon.tick()
    daemon.cursor = None
    daemon.tick()
    assert len(daemon.runs) == 2
    inbox.put("c.jsonl")
    daemon.tick()
    assert len(daemon.runs) == 3


def test_an_unreadable_object_is_quarantined_while_the_rest_goes_on(
    emulator: RunningEmulator,
) -> None:
    inbox, daemon = start(emulator)
    bad, _ = inbox.put("report.pdf")
    empty, _ = inbox.put("empty.jsonl", "")
    cursor = daemon.tick()
    assert daemon.quarantined == {bad: "unknown_format", empty: "empty_object"}
    assert cursor.quarantined == {"unknown_format": 1, "empty_object": 1}
    assert daemon.runs == []
    good = inbox.put("good.csv")
    daemon.tick()
    assert daemon.reported == {good: 1}
    assert len(daemon.runs) == 1


def test_a_batch_waits_for_its_marker(emulator: RunningEmulator) -> None:
    inbox, daemon = start(emulator, completion_marker="_SUCCESS")
    inbox.put("monday/a.jsonl")
    assert daemon.tick().waiting == 1
    inbox.put("monday/b.jsonl")
    inbox.put("tuesday/a.jsonl")
    inbox.put("monday/_SUCCESS", "")
    cursor = daemon.tick()
    assert {uri.rsplit("/", 2)[-2] for uri, _ in daemon.reported} == {"monday"}
    assert len(daemon.reported) == 2
    assert cursor.waiting == 1
    assert cursor.run_due
    assert daemon.runs == []
    inbox.put("tuesday/_SUCCESS", "")
    daemon.tick()
    assert len(daemon.reported) == 3
    assert len(daemon.runs) == 1


def test_a_batch_waits_until_it_is_quiet(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, daemon = start(emulator, quiet_seconds=60)
    inbox.put("a.jsonl")
    assert daemon.tick().waiting == 1
    assert daemon.runs == []
    later = SYSTEM_CLOCK.now() + dt.timedelta(seconds=61)
    monkeypatch.setattr(workspace, "SYSTEM_CLOCK", replace(SYSTEM_CLOCK, now=lambda: later))
    daemon.tick()
    assert len(daemon.runs) == 1


def test_sorted_names_are_listed_from_the_last_ones_on(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genaiops_dagster.data.inbox.KEPT_NAMES", 5)
    inbox, daemon = start(emulator, names_sort_by_time=True)
    for n in range(8):
        inbox.put(f"{n}.jsonl")
    daemon.tick()
    new = inbox.put("8.jsonl")
    late = inbox.put("5a.jsonl")
    decision = daemon.tick().decision
    assert daemon.reported[new] == daemon.reported[late] == 1
    assert decision.startswith("7 objects listed: 2 new")
    assert len(daemon.runs) == 2
    daemon.cursor = None
    daemon.tick()
    assert len(daemon.runs) == 2
