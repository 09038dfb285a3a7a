"""A killed emulator: nothing acknowledged is lost, nothing half-written is seen."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from vertex_emulator.testing import GOOGLE_VARIABLES, RunningEmulator, start_emulator

SCHEMA = [bigquery.SchemaField("batch", "STRING"), bigquery.SchemaField("n", "INTEGER")]
ROWS_A_BATCH = 50


@contextlib.contextmanager
def _client(running: RunningEmulator) -> Iterator[bigquery.Client]:
    with bigquery.Client(
        project="crash",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": running.url},
    ) as client:
        yield client


def _write_until_it_breaks(
    client: bigquery.Client, numbers: Iterator[int], acknowledged: list[tuple[str, str]]
) -> None:
    """Batches by loads, streamed rows, DML and CTAS in turn; each is all there or not at all."""
    ways = ("load", "stream", "insert", "create")
    for number in numbers:
        way, batch = ways[number % len(ways)], f"b{number}"
        given = [{"batch": batch, "n": n} for n in range(ROWS_A_BATCH)]
        range_of_n = f"UNNEST(GENERATE_ARRAY(0, {ROWS_A_BATCH - 1})) AS n"
        if way == "load":
            config = bigquery.LoadJobConfig(schema=SCHEMA)
            client.load_table_from_json(
                given, "crash.d.t", job_config=config, job_id=f"job_{batch}", num_retries=0
            ).result(retry=None)
        elif way == "stream":
            assert client.insert_rows_json("crash.d.t", given, retry=None) == []
        elif way == "insert":
            sql = f"INSERT d.t SELECT '{batch}', n FROM {range_of_n}"
            client.query_and_wait(sql, retry=None, job_retry=None)
        else:
            sql = f"CREATE TABLE d.{batch} AS SELECT '{batch}' AS batch, n FROM {range_of_n}"
            client.query_and_wait(sql, retry=None, job_retry=None)
        acknowledged.append((way, batch))


def _write_until_killed(
    running: RunningEmulator,
    client: bigquery.Client,
    numbers: Iterator[int],
    *,
    acknowledgements: int,
    delay: float,
) -> list[tuple[str, str]]:
    """Kill the emulator `delay` seconds after the given number of acknowledged writes."""
    acknowledged: list[tuple[str, str]] = []

    def write() -> None:
        with contextlib.suppress(Exception):
            _write_until_it_breaks(client, numbers, acknowledged)

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < acknowledgements and writer.is_alive():
        time.sleep(0.002)
    time.sleep(delay)
    running.kill()
    writer.join(60)
    assert not writer.is_alive()
    assert len(acknowledged) >= acknowledgements, "writing broke before the kill"
    return acknowledged


def _check(client: bigquery.Client, acknowledged: list[tuple[str, str]]) -> None:
    """What was acknowledged is there, and every batch, table and job is whole."""
    counts = {
        row.batch: row.n
        for row in client.query_and_wait("SELECT batch, COUNT(*) AS n FROM d.t GROUP BY batch")
    }
    assert set(counts.values()) <= {ROWS_A_BATCH}, "a batch is there in part"
    tables = {
        row.table_id: row.row_count
        for row in client.query_and_wait("SELECT table_id, row_count FROM d.__TABLES__")
    }
    created = {name: rows for name, rows in tables.items() if name.startswith("b")}
    assert set(created.values()) <= {ROWS_A_BATCH}, "a table is there in part"
    for name in created:
        found = client.query_and_wait(f"SELECT COUNT(DISTINCT n) AS n FROM d.{name}")
        assert next(iter(found)).n == ROWS_A_BATCH
    for way, batch in acknowledged:
        found = created.get(batch) if way == "create" else counts.get(batch)
        assert found == ROWS_A_BATCH, f"{way} {batch} was acknowledged and is lost"
    # A job is there exactly when its rows are.
    jobs = {job.job_id: job for job in client.list_jobs() if job.job_type == "load"}
    assert set(jobs) == {f"job_{batch}" for batch in counts if int(batch[1:]) % 4 == 0}
    for job in jobs.values():
        assert (job.state, job.error_result, job.output_rows) == ("DONE", None, ROWS_A_BATCH)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(GOOGLE_VARIABLES):
            monkeypatch.delenv(name)
    return tmp_path / "state"


def test_a_kill_loses_no_acknowledged_write(state: Path) -> None:
    running = start_emulator(state)
    try:
        with _client(running) as client:
            client.create_dataset("d")
            client.create_table(bigquery.Table("crash.d.t", SCHEMA))
            client.query_and_wait("CREATE VIEW d.v AS SELECT COUNT(*) AS n FROM d.t")
            read = client.query("SELECT 1 AS x")
            read.result()
            config = bigquery.QueryJobConfig(destination="crash.d.out")
            stored = client.query("SELECT 1 AS x", job_config=config)
            stored.result()
            acknowledged = _write_until_killed(
                running, client, itertools.count(), acknowledgements=9, delay=0.0
            )
        running = start_emulator(state)
        with _client(running) as client:
            _check(client, acknowledged)
            assert client.get_job(stored.job_id).destination.table_id == "out"
            assert client.get_table("crash.d.v").view_query
            with pytest.raises(NotFound):
                client.get_job(read.job_id)
        assert not list((state / "bigquery" / "uploads").iterdir())
    finally:
        running.kill()


@pytest.mark.slow
def test_twenty_kills_lose_no_acknowledged_write(state: Path) -> None:
    chance = random.Random(7)
    numbers = itertools.count()
    acknowledged: list[tuple[str, str]] = []
    running = start_emulator(state)
    try:
        with _client(running) as client:
            client.create_dataset("d")
            client.create_table(bigquery.Table("crash.d.t", SCHEMA))
        for _ in range(20):
            with _client(running) as client:
                acknowledged += _write_until_killed(
                    running,
                    client,
                    numbers,
                    acknowledgements=chance.randrange(1, 9),
                    delay=chance.uniform(0.0, 0.05),
                )
            running = start_emulator(state)
            with _client(running) as client:
                _check(client, acknowledged)
    finally:
        running.kill()
