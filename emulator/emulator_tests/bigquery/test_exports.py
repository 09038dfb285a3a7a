"""EXPORT DATA and extract jobs.

https://cloud.google.com/bigquery/docs/exporting-data and
https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import uuid
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery, storage

Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def bucket(client: bigquery.Client) -> storage.Bucket:
    return storage.Client().create_bucket(f"exports-{uuid.uuid4().hex}")


@pytest.fixture
def table(client: bigquery.Client, dataset: str) -> str:
    client.query_and_wait(
        f"""CREATE TABLE {dataset}.t AS SELECT 1 AS i, 'a,"b' AS s, NUMERIC '1.5' AS n, TRUE AS b,
        DATE '2020-01-02' AS d, TIMESTAMP '2020-01-02 03:04:05+00' AS ts, b'x' AS raw,
        JSON '{{"k": [1]}}' AS j, CAST(NULL AS INT64) AS z"""
    )
    return f"{dataset}.t"


def test_export_to_parquet(client: bigquery.Client, bucket: storage.Bucket, table: str) -> None:
    job = client.query(
        f"""EXPORT DATA OPTIONS(uri='gs://{bucket.name}/out/*.parquet', format='PARQUET')
        AS SELECT i, s, n, ts, ['x', 'y'] AS tags, STRUCT(1 AS a) AS r FROM {table}"""
    )
    job.result()
    assert job.statement_type == "EXPORT_DATA"
    blob = bucket.blob("out/000000000000.parquet")
    found = pq.read_table(io.BytesIO(blob.download_as_bytes())).to_pylist()
    assert [(row["i"], row["s"], float(row["n"]), row["tags"], row["r"]) for row in found] == [
        (1, 'a,"b', 1.5, ["x", "y"], {"a": 1})
    ]
    assert found[0]["ts"] == dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def test_export_with_parameters_and_order(client: bigquery.Client, bucket: storage.Bucket) -> None:
    config = bigquery.QueryJobConfig(
        query_parameters=[bigquery.ArrayQueryParameter("names", "STRING", ["b", "a"])]
    )
    sql = f"""EXPORT DATA OPTIONS(uri='gs://{bucket.name}/*.json', format='JSON') AS
      SELECT x FROM UNNEST(@names) AS x ORDER BY x"""
    client.query_and_wait(sql, job_config=config)
    lines = bucket.blob("000000000000.json").download_as_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"x": "a"}, {"x": "b"}]


def test_export_overwrites_only_when_told(client: bigquery.Client, bucket: storage.Bucket) -> None:
    options = f"uri='gs://{bucket.name}/x-*.csv', format='CSV'"
    client.query_and_wait(f"EXPORT DATA OPTIONS({options}) AS SELECT 1 AS x")
    with pytest.raises(BadRequest, match="overwrite is false"):
        client.query_and_wait(f"EXPORT DATA OPTIONS({options}) AS SELECT 2 AS x")
    client.query_and_wait(
        f"EXPORT DATA OPTIONS({options}, overwrite=true, header=true) AS SELECT 2 AS x"
    )
    assert bucket.blob("x-000000000000.csv").download_as_text() == "x\n2\n"


def test_export_refusals(client: bigquery.Client, bucket: storage.Bucket) -> None:
    uri = f"gs://{bucket.name}/"
    for options, message in (
        (f"uri='{uri}a.csv', format='CSV'", "wildcard"),
        (f"uri='{uri}*.avro', format='AVRO'", "AVRO"),
        (f"uri='{uri}*.csv'", "uri and format"),
        (f"uri='{uri}*.csv', format='CSV', use_avro_logical_types=true", "use_avro_logical_types"),
        ("uri='s3://b/*.csv', format='CSV'", "gs://"),
    ):
        with pytest.raises(BadRequest, match=message):
            client.query_and_wait(f"EXPORT DATA OPTIONS({options}) AS SELECT 1 AS x")
    with pytest.raises(NotFound):
        client.query_and_wait(
            "EXPORT DATA OPTIONS(uri='gs://no-such-bucket-here/*.csv', format='CSV')"
            " AS SELECT 1 AS x"
        )


def test_extract_to_csv_json_and_parquet(
    client: bigquery.Client, bucket: storage.Bucket, table: str
) -> None:
    def extract(name: str, **settings: Any) -> bytes:
        config = bigquery.ExtractJobConfig(**settings)
        job = client.extract_table(table, f"gs://{bucket.name}/{name}", job_config=config)
        job.result()
        assert job.destination_uri_file_counts == [1]
        return bucket.blob(name).download_as_bytes()

    assert extract("t.csv").decode() == (
        "i,s,n,b,d,ts,raw,j,z\n"
        '1,"a,""b",1.5,true,2020-01-02,2020-01-02 03:04:05 UTC,eA==,"{""k"":[1]}",\n'
    )
    assert extract("t.tsv", field_delimiter="\t", print_header=False).startswith(b"1\t")
    packed = extract("t.json.gz", destination_format="NEWLINE_DELIMITED_JSON", compression="GZIP")
    assert json.loads(gzip.decompress(packed)) == {
        "i": "1",
        "s": 'a,"b',
        "n": "1.5",
        "b": True,
        "d": "2020-01-02",
        "ts": "2020-01-02 03:04:05 UTC",
        "raw": "eA==",
        "j": {"k": [1]},
    }
    found = pq.read_table(io.BytesIO(extract("t.parquet", destination_format="PARQUET")))
    assert found.num_rows == 1


def test_nested_columns_do_not_go_into_csv(
    client: bigquery.Client, bucket: storage.Bucket, dataset: str
) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.n AS SELECT [1] AS tags")
    job = client.extract_table(f"{dataset}.n", f"gs://{bucket.name}/n.csv")
    with pytest.raises(BadRequest, match="nested schema"):
        job.result()


def test_what_is_exported_can_be_loaded(
    client: bigquery.Client, bucket: storage.Bucket, dataset: str, table: str, rows: Rows
) -> None:
    client.extract_table(
        table,
        f"gs://{bucket.name}/round.json",
        job_config=bigquery.ExtractJobConfig(destination_format="NEWLINE_DELIMITED_JSON"),
    ).result()
    config = bigquery.LoadJobConfig(
        source_format="NEWLINE_DELIMITED_JSON", schema=client.get_table(table).schema
    )
    client.load_table_from_uri(
        f"gs://{bucket.name}/round.json", f"{dataset}.back", job_config=config
    ).result()
    columns = "i, s, n, b, d, ts, raw, TO_JSON_STRING(j), z"
    assert rows(f"SELECT {columns} FROM {dataset}.back") == rows(f"SELECT {columns} FROM {table}")
