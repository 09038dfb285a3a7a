"""A query has a bound in time and in memory, and the emulator outlives both."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from vertex_emulator.bigquery import database

ENDLESS = """
SELECT COUNT(*)
FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS a, UNNEST(GENERATE_ARRAY(1, 1000000)) AS b
WHERE MOD(a * b, 7) = 8
"""


def test_a_query_that_takes_too_long_is_stopped(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(job_timeout_ms=1000)
    job = client.query(ENDLESS, job_config=config)
    with pytest.raises(BadRequest, match="timed out after 1 seconds"):
        job.result(retry=None, job_retry=None)
    job.reload()
    assert job.error_result is not None
    assert job.error_result["reason"] == "timeout"
    assert [row.n for row in client.query_and_wait("SELECT 1 AS n")] == [1]


def test_memory_is_bounded_and_named(client: bigquery.Client) -> None:
    import duckdb

    from vertex_emulator.bigquery.http import api_error

    error = api_error(duckdb.OutOfMemoryException("could not allocate block"))
    assert (error.code, error.reason) == (400, "resourcesExceeded")
    with duckdb.connect(config={"memory_limit": database.MEMORY}) as connection:
        [limit] = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    assert limit == "1.8 GiB"
