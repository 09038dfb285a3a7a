"""Jobs: their ids, states, results and limits.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs and .../Job.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, GoogleAPICallError, NotFound
from google.cloud import bigquery

Rows = Callable[..., list[tuple[Any, ...]]]

# Long enough to be caught running, and gone at once when it is cancelled.
LONG = """
  SELECT COUNT(*)
  FROM UNNEST(GENERATE_ARRAY(1, 100000)) a, UNNEST(GENERATE_ARRAY(1, 1000000)) b
  WHERE MOD(a * b, 7) = 3
"""


def test_a_query_job_says_what_it_did(client: bigquery.Client, dataset: str) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x, 'ab' AS s")
    config = bigquery.QueryJobConfig(labels={"step": "test"})
    job = client.query(f"SELECT x FROM {dataset}.t", job_config=config)
    assert [row.x for row in job.result()] == [1]
    assert (job.state, job.statement_type, job.labels) == ("DONE", "SELECT", {"step": "test"})
    assert (job.total_bytes_processed, job.total_bytes_billed, job.cache_hit) == (8, 8, False)
    assert [table.table_id for table in job.referenced_tables] == ["t"]
    assert job.created <= job.started <= job.ended
    assert [field.name for field in job.schema] == ["x"]
    again = client.get_job(job.job_id)
    assert again.query == f"SELECT x FROM {dataset}.t"
    assert [row.x for row in again.result()] == [1]


def test_the_rows_of_a_query_can_be_listed_from_its_destination(client: bigquery.Client) -> None:
    job = client.query("SELECT x FROM UNNEST([1, 2, 3]) AS x ORDER BY x")
    job.result()
    assert [row.x for row in client.list_rows(job.destination, job.schema)] == [1, 2, 3]


def test_a_job_keeps_the_location_asked_for(client: bigquery.Client) -> None:
    # "jobReference.location": https://cloud.google.com/bigquery/docs/reference/rest/v2/JobReference
    job = client.query("SELECT 1", location="EU")
    job.result()
    assert (job.location, client.get_job(job.job_id, location="EU").location) == ("EU", "EU")


def test_a_job_id_is_used_once(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.t (x INT64)")
    job_id = f"once_{uuid.uuid4().hex}"
    client.query(f"INSERT {dataset}.t VALUES (1)", job_id=job_id, job_retry=None).result()
    with pytest.raises(Conflict, match="Already Exists: Job") as caught:
        client.query(f"INSERT {dataset}.t VALUES (1)", job_id=job_id, job_retry=None).result()
    assert caught.value.errors[0]["reason"] == "duplicate"
    assert rows(f"SELECT COUNT(*) FROM {dataset}.t") == [(1,)]


def test_a_failed_query_keeps_its_reason(client: bigquery.Client) -> None:
    job = client.query("SELECT nothing")
    with pytest.raises(BadRequest, match="Unrecognized name: nothing"):
        job.result()
    found = client.get_job(job.job_id)
    assert found.state == "DONE"
    assert found.error_result["reason"] == "invalidQuery"
    assert "Unrecognized name: nothing" in found.errors[0]["message"]


def test_unknown_job(client: bigquery.Client) -> None:
    with pytest.raises(NotFound, match="Not found: Job"):
        client.get_job("no_such_job")


def test_dry_run_counts_the_bytes_of_the_columns_that_are_read(
    client: bigquery.Client, dataset: str
) -> None:
    """https://cloud.google.com/bigquery/docs/estimate-costs#on-demand_query_size_calculation."""
    client.query_and_wait(
        f"CREATE TABLE {dataset}.t AS SELECT x, 'abc' AS s FROM UNNEST(GENERATE_ARRAY(1, 100)) AS x"
    )
    config = bigquery.QueryJobConfig(dry_run=True)

    def size(sql: str) -> int:
        return client.query(sql, job_config=config).total_bytes_processed

    assert size(f"SELECT x FROM {dataset}.t") == 800
    assert size(f"SELECT * FROM {dataset}.t") == 800 + 500
    assert size(f"SELECT COUNT(*) FROM {dataset}.t") == 0
    assert size(f"SELECT 1 FROM {dataset}.t WHERE s = 'a'") == 500
    assert size(f"SELECT a.x FROM {dataset}.t a JOIN {dataset}.t b ON a.x = b.x") == 800
    assert size("SELECT 1") == 0


def test_dry_run_shows_schema_and_errors_and_changes_nothing(
    client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x")
    config = bigquery.QueryJobConfig(dry_run=True)
    job = client.query(f"SELECT x, 'a' AS s FROM {dataset}.t", job_config=config)
    assert [(field.name, field.field_type) for field in job.schema] == [
        ("x", "INTEGER"),
        ("s", "STRING"),
    ]
    changing = client.query(f"DELETE {dataset}.t WHERE x = 1", job_config=config)
    assert (changing.statement_type, changing.total_bytes_processed) == ("DELETE", 8)
    client.query(f"DROP TABLE {dataset}.t", job_config=config)
    assert rows(f"SELECT x FROM {dataset}.t") == [(1,)]
    with pytest.raises(BadRequest, match="Unrecognized name"):
        client.query(f"SELECT y FROM {dataset}.t", job_config=config)


def test_maximum_bytes_billed_is_enforced(
    client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x")
    config = bigquery.QueryJobConfig(maximum_bytes_billed=7)
    for sql in (f"SELECT x FROM {dataset}.t", f"DELETE {dataset}.t WHERE x = 1"):
        job = client.query(sql, job_config=config)
        with pytest.raises(Exception, match="Query exceeded limit for bytes billed: 7"):
            job.result()
        assert job.error_result["reason"] == "bytesBilledLimitExceeded"
    assert rows(f"SELECT x FROM {dataset}.t", maximum_bytes_billed=8) == [(1,)]


def test_destination_table_and_dispositions(
    client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    target = f"{client.project}.{dataset}.out"

    def write(sql: str, disposition: str | None = None, **settings: Any) -> bigquery.QueryJob:
        config = bigquery.QueryJobConfig(destination=target, **settings)
        config.write_disposition = disposition
        job = client.query(sql, job_config=config)
        assert job.result().total_rows is not None
        return job

    write("SELECT 1 AS x")
    with pytest.raises(Conflict, match="Already Exists"):
        write("SELECT 2 AS x")
    job = write("SELECT 2 AS x", "WRITE_APPEND")
    assert job.destination.table_id == "out"
    assert rows(f"SELECT x FROM {dataset}.out ORDER BY 1") == [(1,), (2,)]
    write("SELECT 'a' AS y", "WRITE_TRUNCATE")
    assert rows(f"SELECT * FROM {dataset}.out") == [("a",)]
    with pytest.raises(BadRequest, match="Cannot add fields"):
        write("SELECT 'b' AS y, 1 AS z", "WRITE_APPEND")
    write("SELECT 'b' AS y, 1 AS z", "WRITE_APPEND", schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert rows(f"SELECT z FROM {dataset}.out ORDER BY y") == [(None,), (1,)]
    with pytest.raises(NotFound):
        client.query_and_wait(
            "SELECT 1 AS x",
            job_config=bigquery.QueryJobConfig(
                destination=f"{client.project}.{dataset}.never", create_disposition="CREATE_NEVER"
            ),
        )


def test_destination_table_with_a_layout(client: bigquery.Client, dataset: str) -> None:
    target = f"{client.project}.{dataset}.out"
    config = bigquery.QueryJobConfig(
        destination=target,
        clustering_fields=["x"],
        time_partitioning=bigquery.TimePartitioning("DAY", field="day"),
    )
    client.query_and_wait("SELECT 1 AS x, DATE '2020-01-01' AS day", job_config=config)
    table = client.get_table(target)
    assert (table.clustering_fields, table.time_partitioning.field) == (["x"], "day")


def test_default_dataset(dataset: str, client: bigquery.Client, rows: Rows) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x")
    default = f"{client.project}.{dataset}"
    assert rows("SELECT x FROM t", default_dataset=default) == [(1,)]


def test_a_running_job_is_cancelled(client: bigquery.Client) -> None:
    job = client.query(LONG)
    assert job.state == "RUNNING"
    assert not job.done()
    started = time.monotonic()
    client.cancel_job(job.job_id)
    while not job.done():
        time.sleep(0.05)
    assert time.monotonic() - started < 10
    assert job.error_result["reason"] == "stopped"
    client.cancel_job(job.job_id)


def test_a_cancelled_load_leaves_nothing(client: bigquery.Client, dataset: str) -> None:
    """A cancellation may come too late, and then the load is whole; here one comes in time."""
    config = bigquery.LoadJobConfig(
        schema=[bigquery.SchemaField("n", "INTEGER")], source_format="NEWLINE_DELIMITED_JSON"
    )
    rows = 500_000
    for attempt in range(8):
        table = f"{dataset}.t{attempt}"
        job = client.load_table_from_file(
            io.BytesIO(b'{"n": 1}\n' * rows), table, job_config=config
        )
        client.cancel_job(job.job_id)
        try:
            job.result()
        except GoogleAPICallError:
            assert job.error_result["reason"] == "stopped"
            with pytest.raises(NotFound):
                client.get_table(table)
            return
        assert client.get_table(table).num_rows == rows
    pytest.fail("no load was cancelled")


def test_jobs_are_listed_newest_first(client: bigquery.Client) -> None:
    first = client.query("SELECT 1")
    first.result()
    second = client.query("SELECT 2")
    second.result()
    found = [job.job_id for job in client.list_jobs(max_results=50)]
    assert found.index(second.job_id) < found.index(first.job_id)
    assert first.job_id not in [job.job_id for job in client.list_jobs(state_filter="running")]
    pages = client.list_jobs(page_size=1, max_results=2)
    assert len(list(pages)) == 2


def test_copy_job(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.a AS SELECT 1 AS x")
    client.query_and_wait(f"CREATE TABLE {dataset}.b AS SELECT 2 AS x")
    client.copy_table([f"{dataset}.a", f"{dataset}.b"], f"{dataset}.c").result()
    assert rows(f"SELECT x FROM {dataset}.c ORDER BY x") == [(1,), (2,)]
    with pytest.raises(Conflict):
        client.copy_table(f"{dataset}.a", f"{dataset}.c").result()


def test_query_and_wait_is_one_request(client: bigquery.Client) -> None:
    found = client.query_and_wait("SELECT x FROM UNNEST([1, 2]) AS x ORDER BY x", page_size=1)
    assert [row.x for row in found] == [1, 2]
    assert found.total_rows == 2


def test_a_deleted_job_is_gone(client: bigquery.Client) -> None:
    job = client.query("SELECT 1")
    job.result()
    client.delete_job_metadata(job.job_id)
    with pytest.raises(NotFound):
        client.get_job(job.job_id)
