"""A killed emulator: nothing acknowledged is lost, nothing half-written is seen."""

from __future__ import annotations

import contextlib
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

from tests.conftest import GOOGLE_VARIABLES, RunningEmulator, start_emulator

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


def _write_until_it_breaks(client: bigquery.Client, acknowledged: list[tuple[str, str]]) -> None:
    """Batches by loads, streamed rows, DML and CTAS in turn; each is all there or not at all."""
    ways = ("load", "stream", "insert", "create")
    for number in range(10_000):
        way, batch = ways[number % len(ways)], f"b{number}"
        given = [{"batch": batch, "n": n} for n in range(ROWS_A_BATCH)]
        numbers = f"UNNEST(GENERATE_ARRAY(0, {ROWS_A_BATCH - 1})) AS n"
        if way == "load":
            config = bigquery.LoadJobConfig(schema=SCHEMA)
            job_id = f"job_{batch}"
            client.load_table_from_json(
                given, "crash.d.t", job_config=config, job_id=job_id, num_retries=0, timeout=5
            ).result(retry=None, timeout=5)
        elif way == "stream":
            assert client.insert_rows_json("crash.d.t", given, retry=None, timeout=5) == []
        elif way == "insert":
            sql = f"INSERT d.t SELECT '{batch}', n FROM {numbers}"
            client.query_and_wait(sql, retry=None, job_retry=None, api_timeout=5)
        else:
            sql = f"CREATE TABLE d.{batch} AS SELECT '{batch}' AS batch, n FROM {numbers}"
            client.query_and_wait(sql, retry=None, job_retry=None, api_timeout=5)
        acknowledged.append((way, batch))


def _check(client: bigquery.Client, acknowledged: list[tuple[str, str]]) -> None:
    counts = {
        row.batch: row.n
        for row in client.query_and_wait("SELECT batch, COUNT(*) AS n FROM d.t GROUP BY batch")
    }
    assert set(counts.values()) <= {ROWS_A_BATCH}, "a batch is there in part"
    for way, batch in acknowledged:
        if way == "create":
            assert client.get_table(f"crash.d.{batch}").num_rows == ROWS_A_BATCH
            continue
        assert counts.get(batch) == ROWS_A_BATCH, f"{way} {batch} was acknowledged and is lost"
        if way == "load":
            job = client.get_job(f"job_{batch}")
            assert (job.state, job.output_rows) == ("DONE", ROWS_A_BATCH)
    for table in client.list_tables("crash.d"):
        if table.table_type == "VIEW":
            continue
        rows = client.query_and_wait(f"SELECT COUNT(*) AS n FROM `d.{table.table_id}`")
        assert next(iter(rows)).n % ROWS_A_BATCH == 0


def _kill_while_writing(state: Path, delay: float) -> None:
    acknowledged: list[tuple[str, str]] = []
    running = start_emulator(state)
    try:
        with _client(running) as client:
            client.create_dataset("d")
            client.create_table(bigquery.Table("crash.d.t", SCHEMA))
            client.query_and_wait("CREATE VIEW d.v AS SELECT COUNT(*) AS n FROM d.t")
            read = client.query("SELECT 1 AS x")
            read.result()
            config = bigquery.QueryJobConfig(destination="crash.d.out")
            stored = client.query(
                f"SELECT n FROM UNNEST(GENERATE_ARRAY(1, {ROWS_A_BATCH})) AS n", job_config=config
            )
            stored.result()

            def write() -> None:
                with contextlib.suppress(Exception):
                    _write_until_it_breaks(client, acknowledged)

            writer = threading.Thread(target=write)
            writer.start()
            time.sleep(delay)
            running.kill()
            writer.join(30)
            assert not writer.is_alive()
    finally:
        running.kill()
    again = start_emulator(state)
    try:
        with _client(again) as client:
            _check(client, acknowledged)
            assert client.get_job(stored.job_id).destination.table_id == "out"
            with pytest.raises(NotFound):
                client.get_job(read.job_id)
        assert not list((state / "bigquery" / "uploads").iterdir())
    finally:
        again.stop()
    assert acknowledged, "nothing was written before the kill"


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(GOOGLE_VARIABLES):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_variables")
def test_a_kill_loses_no_acknowledged_write(tmp_path: Path):
    _kill_while_writing(tmp_path / "state", 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("no_variables")
def test_twenty_kills_lose_no_acknowledged_write(tmp_path: Path):
    chance = random.Random(7)
    for number in range(20):
        _kill_while_writing(tmp_path / f"state{number}", chance.uniform(0.3, 2.0))
