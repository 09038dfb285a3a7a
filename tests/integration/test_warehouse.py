"""Tables over the emulator: made where they are missing, and written although others write, too."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from genaiops_dagster.google_cloud.warehouse import Column, Table, Warehouse
from genaiops_dagster.records.clock import SYSTEM_CLOCK, Clock
from vertex_emulator.testing import RunningEmulator

NOTES = Table(
    name="notes",
    description="Notes.",
    columns=(
        Column("use_case", "STRING", "Use case.", "REQUIRED"),
        Column("id", "STRING", "Which.", "REQUIRED"),
        Column("created", "TIMESTAMP", "When.", "REQUIRED"),
        Column("text", "STRING", "What it says."),
    ),
    keys=("id",),
    partition="created",
)
STATEMENTS = "^/bigquery/.*/jobs$"
"""Path of statements, not of load jobs, which are uploads."""

SERIALIZED = "Could not serialize access to table p:d.notes due to concurrent update"
QUEUED = "Too many DML statements outstanding against table p:d.notes, limit is 20"


def note(name: str, text: str = "") -> dict[str, Any]:
    return {"use_case": "u", "id": name, "created": "2026-12-01T00:00:00Z", "text": text}


@pytest.fixture
def client(emulator: RunningEmulator) -> Iterator[bigquery.Client]:
    yield bigquery.Client()
    emulator.clear_faults()


@pytest.fixture
def waits() -> list[float]:
    """How long a warehouse has waited."""
    return []


@pytest.fixture
def warehouse(client: bigquery.Client, waits: list[float]) -> Warehouse:
    """A dataset that is not there yet."""
    return Warehouse(lambda: client, f"d{uuid.uuid4().hex}", waiting(waits))


def waiting(waits: list[float]) -> Clock:
    """A clock on which waiting takes no time."""
    return Clock(SYSTEM_CLOCK.now, SYSTEM_CLOCK.elapsed, waits.append)


def streams(emulator: RunningEmulator) -> int:
    """How often rows were streamed."""
    counts: dict[str, int] = emulator.stats()["requests"].get("bigquery", {})
    return counts.get("tabledata.insertAll", 0)


def stored(warehouse: Warehouse) -> dict[str, str]:
    return {row["id"]: row["text"] for row in warehouse.scan(warehouse.table_id("notes"))}


def forbid(emulator: RunningEmulator, *methods: str) -> None:
    for method in methods:
        emulator.add_fault(kind="error", service="bigquery", method=method, status=403)


def test_what_is_there_is_written_without_the_right_to_create_it(
    emulator: RunningEmulator, warehouse: Warehouse
) -> None:
    view = f"SELECT id FROM `{warehouse.table_id('notes')}`"
    warehouse.merge(NOTES, [note("a")])
    warehouse.ensure_view("ids", view, "Ids.")
    forbid(emulator, "datasets.insert", "tables.insert")

    warehouse.merge(NOTES, [note("a", "again"), note("b")])
    warehouse.replace(NOTES, [note("c")], {"id": "c"})
    warehouse.replace(NOTES, [], {"id": "b"})
    warehouse.append(NOTES, [note("d")])
    warehouse.ensure_table(NOTES)
    warehouse.ensure_view("ids", view, "Ids.")
    warehouse.load_json_lines("lines", b'{"a": 1}\n', {"a": "INT64"})

    assert stored(warehouse) == {"a": "again", "c": "", "d": ""}


def test_what_is_missing_is_made_by_whatever_needs_it_first(client: bigquery.Client) -> None:
    view = "SELECT 1 AS one"
    firsts: list[Callable[[Warehouse], object]] = [
        lambda tables: tables.merge(NOTES, [note("a")]),
        lambda tables: tables.replace(NOTES, [note("a")], {"id": "a"}),
        lambda tables: tables.replace(NOTES, [], {"id": "a"}),
        lambda tables: tables.append(NOTES, [note("a")]),
        lambda tables: tables.ensure_view("ones", view, "Ones."),
        lambda tables: tables.load_json_lines("lines", b'{"a": 1}\n', {"a": "INT64"}),
    ]
    for first in firsts:
        tables = Warehouse(lambda: client, f"d{uuid.uuid4().hex}", SYSTEM_CLOCK)
        first(tables)
        tables.merge(NOTES, [note("b")])
        assert "b" in stored(tables)


def test_a_new_table_that_is_not_known_everywhere_is_waited_for(
    emulator: RunningEmulator, warehouse: Warehouse, waits: list[float]
) -> None:
    emulator.add_fault(
        kind="error", service="bigquery", method="jobs.insert", path=STATEMENTS, status=404, times=3
    )
    warehouse.merge(NOTES, [note("a")])
    assert stored(warehouse) == {"a": ""}
    assert waits


@pytest.mark.parametrize("message", [SERIALIZED, QUEUED])
def test_statements_that_are_in_each_others_way_are_sent_again(
    emulator: RunningEmulator, warehouse: Warehouse, waits: list[float], message: str
) -> None:
    warehouse.merge(NOTES, [note("a"), note("b")])
    busy = {"kind": "error", "method": "jobs.insert", "path": STATEMENTS, "status": 400}
    writes: list[Callable[[], int]] = [
        lambda: warehouse.merge(NOTES, [note("a", "again")]),
        lambda: warehouse.replace(NOTES, [note("b", "again")], {"id": "b"}),
    ]
    for write in writes:
        waits.clear()
        emulator.add_fault(service="bigquery", message=message, times=2, **busy)
        write()
        assert len(waits) == 2
    assert stored(warehouse) == {"a": "again", "b": "again"}


def test_patience_ends_with_the_services_own_words(
    emulator: RunningEmulator, warehouse: Warehouse, waits: list[float]
) -> None:
    warehouse.merge(NOTES, [note("a")])
    emulator.add_fault(
        kind="error",
        service="bigquery",
        method="jobs.insert",
        path=STATEMENTS,
        status=400,
        message=SERIALIZED,
    )
    with pytest.raises(BadRequest, match="Could not serialize access"):
        warehouse.merge(NOTES, [note("b")])
    assert 0 < sum(waits) < 120
    emulator.clear_faults()
    assert stored(warehouse) == {"a": ""}
    left = [table.table_id for table in warehouse._client.list_tables(warehouse.dataset)]
    assert left == ["notes"], "no staging table stays behind"


@pytest.mark.parametrize("minutes", [0, 10, 60])
def test_no_row_is_streamed_into_a_young_table(
    emulator: RunningEmulator, client: bigquery.Client, minutes: int
) -> None:
    """The table that this process found missing, one that another just made, and an old one."""
    dataset = f"d{uuid.uuid4().hex}"
    if minutes:
        Warehouse(lambda: client, dataset, SYSTEM_CLOCK).ensure_table(NOTES)
    before = streams(emulator)
    later = SYSTEM_CLOCK.now() + dt.timedelta(minutes=minutes)
    clock = Clock(lambda: later, SYSTEM_CLOCK.elapsed, SYSTEM_CLOCK.sleep)
    tables = Warehouse(lambda: client, dataset, clock)
    for text in ("once", "twice"):
        tables.append(NOTES, [note("a", text)])
    assert streams(emulator) - before == (2 if minutes == 60 else 0)
    assert stored(tables) == {"a": "once" if minutes == 60 else "twice"}


def test_a_table_that_goes_while_rows_are_streamed_is_made_again(
    emulator: RunningEmulator, client: bigquery.Client
) -> None:
    dataset = f"d{uuid.uuid4().hex}"
    later = SYSTEM_CLOCK.now() + dt.timedelta(hours=1)
    clock = Clock(lambda: later, SYSTEM_CLOCK.elapsed, SYSTEM_CLOCK.sleep)
    tables = Warehouse(lambda: client, dataset, clock)
    tables.ensure_table(NOTES)
    tables.append(NOTES, [note("a")])
    client.delete_table(f"{dataset}.notes")
    tables.append(NOTES, [note("b")])
    assert stored(tables) == {"b": ""}


def test_a_statement_that_is_wrong_is_sent_once(warehouse: Warehouse, waits: list[float]) -> None:
    warehouse.ensure_table(NOTES)
    with pytest.raises(BadRequest):
        warehouse.query("SELECT nothing FROM nowhere,")
    assert not waits


def test_what_was_never_made_is_missed_at_once(client: bigquery.Client, waits: list[float]) -> None:
    tables = Warehouse(lambda: client, f"d{uuid.uuid4().hex}", waiting(waits))
    assert not tables.exists("notes")
    with pytest.raises(NotFound):
        tables.query(f"SELECT 1 FROM `{tables.table_id('notes')}`")
    assert not waits
