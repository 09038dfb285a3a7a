"""Load jobs: formats, schemas, dispositions, and what happens to bad files.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json, ...-csv and ...-parquet,
and https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery, storage
from google.cloud.bigquery import LoadJobConfig, SchemaField

Rows = Callable[..., list[tuple[Any, ...]]]
Load = Callable[..., bigquery.LoadJob]

JSONL = "NEWLINE_DELIMITED_JSON"
SCHEMA = [SchemaField("id", "INTEGER", "REQUIRED"), SchemaField("name", "STRING")]


@pytest.fixture
def load(client: bigquery.Client, dataset: str) -> Load:
    """Load bytes into the table `t` of the test's dataset."""

    def run(content: bytes, source_format: str = JSONL, **settings: Any) -> bigquery.LoadJob:
        config = LoadJobConfig(source_format=source_format, **settings)
        job = client.load_table_from_file(
            io.BytesIO(content), f"{client.project}.{dataset}.t", job_config=config
        )
        job.result()
        return job

    return run


@pytest.fixture
def bucket(client: bigquery.Client) -> storage.Bucket:
    return storage.Client().create_bucket(f"loads-{uuid.uuid4().hex}")


def test_json_lines_with_a_schema(
    load: Load, dataset: str, rows: Rows, client: bigquery.Client
) -> None:
    job = load(b'{"id": 1, "name": "a"}\n\n{"ID": "2"}\n', schema=SCHEMA)
    assert (job.output_rows, job.state) == (2, "DONE")
    assert rows(f"SELECT * FROM {dataset}.t ORDER BY id") == [(1, "a"), (2, None)]
    assert client.get_table(f"{dataset}.t").schema == SCHEMA
    assert client.get_job(job.job_id).output_rows == 2


def test_json_values_of_every_type(load: Load, dataset: str, rows: Rows) -> None:
    types = ["FLOAT", "NUMERIC", "BOOLEAN", "BYTES", "DATE"]
    types += ["TIME", "DATETIME", "TIMESTAMP", "JSON"]
    schema = [SchemaField(type_.lower(), type_) for type_ in types]
    schema.append(SchemaField("list", "RECORD", "REPEATED", fields=(SchemaField("x", "INTEGER"),)))
    line = {
        "float": "1.5",
        "numeric": 0.1,
        "boolean": "true",
        "bytes": "AP8=",
        "date": "2020-01-02",
        "time": "03:04:05.5",
        "datetime": "2020-01-02T03:04:05",
        "timestamp": "2020-01-02 03:04:05 Europe/Paris",
        "json": {"a": [1]},
        "list": [{"x": 1}, {"x": None}],
    }
    load(json.dumps(line).encode(), schema=schema)
    (found,) = rows(f"SELECT * FROM {dataset}.t")
    assert found[0] == 1.5
    assert str(found[1]) == "0.1"
    assert found[2:] == (
        True,
        b"\x00\xff",
        dt.date(2020, 1, 2),
        dt.time(3, 4, 5, 500000),
        dt.datetime(2020, 1, 2, 3, 4, 5),
        dt.datetime(2020, 1, 2, 2, 4, 5, tzinfo=dt.UTC),
        {"a": [1]},
        [{"x": 1}, {"x": None}],
    )


def test_json_schema_is_detected(load: Load, client: bigquery.Client, dataset: str) -> None:
    """https://cloud.google.com/bigquery/docs/schema-detect."""
    lines = [
        {"i": 1, "f": 1, "b": True, "s": "x", "d": "2020-01-02", "t": "2020-01-02 03:04:05 UTC"},
        {"i": 2, "f": 2.5, "l": [1, 2], "r": {"a": "x", "n": [{"y": 1.5}]}, "s": "5"},
    ]
    load("\n".join(json.dumps(line) for line in lines).encode(), autodetect=True)
    schema = client.get_table(f"{dataset}.t").schema
    found = {field.name: (field.field_type, field.mode) for field in schema}
    assert found == {
        "i": ("INTEGER", "NULLABLE"),
        "f": ("FLOAT", "NULLABLE"),
        "b": ("BOOLEAN", "NULLABLE"),
        "s": ("STRING", "NULLABLE"),
        "d": ("DATE", "NULLABLE"),
        "t": ("TIMESTAMP", "NULLABLE"),
        "l": ("INTEGER", "REPEATED"),
        "r": ("RECORD", "NULLABLE"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x"}', r"line 2.*Could not convert value 'x' to INT64.*Field: id"),
        ('{"name": "a"}', r"line 2.*Required field is missing.*Field: id"),
        ('{"id": 1, "color": "red"}', r"line 2.*no such field.*Field: color"),
        ('{"id": 1', r"line 2.*not a JSON object"),
        ("[1]", r"line 2.*not a JSON object"),
        ('{"id": 1, "name": ["a"]}', r"line 2.*JSON list or object.*Field: name"),
        ('{"id": 9223372036854775808}', r"line 2.*Field: id"),
    ],
)
def test_a_bad_row_fails_the_load_and_leaves_the_table_as_it_was(
    load: Load, dataset: str, rows: Rows, client: bigquery.Client, line: str, message: str
) -> None:
    load(b'{"id": 1}', schema=SCHEMA)
    for disposition in ("WRITE_APPEND", "WRITE_TRUNCATE"):
        with pytest.raises(BadRequest, match=message):
            load(b'{"id": 2}\n' + line.encode(), schema=SCHEMA, write_disposition=disposition)
    assert rows(f"SELECT id FROM {dataset}.t") == [(1,)]


def test_a_failed_load_creates_no_table(load: Load, client: bigquery.Client, dataset: str) -> None:
    with pytest.raises(BadRequest):
        load(b'{"id": "x"}', schema=SCHEMA)
    with pytest.raises(NotFound):
        client.get_table(f"{dataset}.t")


def test_bad_records_can_be_allowed(load: Load, dataset: str, rows: Rows) -> None:
    lines = b'{"id": 1}\n{"id": "x"}\n{"id": 3, "color": "red"}\n'
    job = load(lines, schema=SCHEMA, max_bad_records=1, ignore_unknown_values=True)
    assert job.output_rows == 2
    assert rows(f"SELECT id FROM {dataset}.t ORDER BY id") == [(1,), (3,)]
    with pytest.raises(BadRequest):
        load(lines + b'{"id": "y"}', schema=SCHEMA, max_bad_records=1, ignore_unknown_values=True)


def test_write_and_create_dispositions(load: Load, dataset: str, rows: Rows) -> None:
    load(b'{"id": 1}', schema=SCHEMA)
    load(b'{"id": 2}', schema=SCHEMA)
    assert rows(f"SELECT COUNT(*) FROM {dataset}.t") == [(2,)]
    load(b'{"id": 3}', schema=SCHEMA, write_disposition="WRITE_TRUNCATE")
    assert rows(f"SELECT id FROM {dataset}.t") == [(3,)]
    with pytest.raises(Conflict, match="Already Exists"):
        load(b'{"id": 4}', schema=SCHEMA, write_disposition="WRITE_EMPTY")
    load(b'{"other": 1}', autodetect=True, write_disposition="WRITE_TRUNCATE")
    assert rows(f"SELECT other FROM {dataset}.t") == [(1,)]


def test_create_never(client: bigquery.Client, dataset: str) -> None:
    config = LoadJobConfig(source_format=JSONL, schema=SCHEMA, create_disposition="CREATE_NEVER")
    job = client.load_table_from_json([{"id": 1}], f"{dataset}.none", job_config=config)
    with pytest.raises(NotFound, match="Not found: Table"):
        job.result()


def test_new_columns_need_leave(load: Load, dataset: str, rows: Rows) -> None:
    load(b'{"id": 1}', schema=SCHEMA)
    wider = [*SCHEMA, SchemaField("extra", "STRING")]
    with pytest.raises(BadRequest, match="Cannot add fields"):
        load(b'{"id": 2, "extra": "x"}', schema=wider)
    load(b'{"id": 2, "extra": "x"}', schema=wider, schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert rows(f"SELECT id, extra FROM {dataset}.t ORDER BY id") == [(1, None), (2, "x")]


def test_the_layout_of_a_new_table(load: Load, client: bigquery.Client, dataset: str) -> None:
    load(
        b'{"id": 1, "day": "2020-01-01"}',
        schema=[*SCHEMA, SchemaField("day", "DATE", description="when")],
        time_partitioning=bigquery.TimePartitioning("MONTH", field="day"),
        clustering_fields=["id"],
        destination_table_description="loaded",
        labels={"run": "1"},
    )
    table = client.get_table(f"{dataset}.t")
    assert (table.time_partitioning.type_, table.clustering_fields) == ("MONTH", ["id"])
    assert table.description == "loaded"
    assert table.schema[-1].description == "when"


def test_csv_with_a_schema(load: Load, dataset: str, rows: Rows) -> None:
    content = b'id,name\n1,"a, ""b""\nc"\n2,\n'
    load(content, "CSV", schema=SCHEMA, skip_leading_rows=1, allow_quoted_newlines=True)
    assert rows(f"SELECT * FROM {dataset}.t ORDER BY id") == [(1, 'a, "b"\nc'), (2, "")]


def test_csv_options(load: Load, dataset: str, rows: Rows) -> None:
    load(
        "1|\\N\n2\n3|naïve|x\n".encode("latin-1"),
        "CSV",
        schema=SCHEMA,
        field_delimiter="|",
        null_marker="\\N",
        allow_jagged_rows=True,
        ignore_unknown_values=True,
        encoding="ISO-8859-1",
    )
    assert rows(f"SELECT * FROM {dataset}.t ORDER BY id") == [(1, None), (2, None), (3, "naïve")]
    with pytest.raises(BadRequest, match="Too few values"):
        load(b"1\n", "CSV", schema=SCHEMA)
    with pytest.raises(BadRequest, match="Too many values"):
        load(b"1,a,b\n", "CSV", schema=SCHEMA)


def test_csv_schema_is_detected(
    load: Load, client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    load(b"name,size,at\na,1,2020-01-01\nb,2.5,2020-01-02\n", "CSV", autodetect=True)
    assert [(f.name, f.field_type) for f in client.get_table(f"{dataset}.t").schema] == [
        ("name", "STRING"),
        ("size", "FLOAT"),
        ("at", "DATE"),
    ]
    assert rows(f"SELECT COUNT(*) FROM {dataset}.t") == [(2,)]
    load(b"1,x\n2,y\n", "CSV", autodetect=True, write_disposition="WRITE_TRUNCATE")
    assert [f.name for f in client.get_table(f"{dataset}.t").schema] == [
        "int64_field_0",
        "string_field_1",
    ]


def test_gzip_is_unpacked(load: Load, dataset: str, rows: Rows) -> None:
    load(gzip.compress(b'{"id": 1}\n'), schema=SCHEMA)
    load(gzip.compress(b"2,b\n"), "CSV", schema=SCHEMA)
    assert rows(f"SELECT id FROM {dataset}.t ORDER BY id") == [(1,), (2,)]


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def test_parquet_brings_its_schema(
    load: Load, client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    table = pa.table(
        {
            "i": pa.array([1], pa.int32()),
            "f": [1.5],
            "s": ["a"],
            "b": [b"\x00"],
            "d": [dt.date(2020, 1, 2)],
            "ts": pa.array([moment], pa.timestamp("us", "UTC")),
            "local": pa.array([moment.replace(tzinfo=None)], pa.timestamp("ns")),
            "n": pa.array([Decimal("20.25")], pa.decimal128(20, 2)),
            "l": [[1, 2]],
            "r": [{"x": 1, "y": ["z"]}],
        }
    )
    load(parquet(table), "PARQUET")
    assert [(f.name, f.field_type, f.mode) for f in client.get_table(f"{dataset}.t").schema] == [
        ("i", "INTEGER", "NULLABLE"),
        ("f", "FLOAT", "NULLABLE"),
        ("s", "STRING", "NULLABLE"),
        ("b", "BYTES", "NULLABLE"),
        ("d", "DATE", "NULLABLE"),
        ("ts", "TIMESTAMP", "NULLABLE"),
        ("local", "DATETIME", "NULLABLE"),
        ("n", "NUMERIC", "NULLABLE"),
        ("l", "INTEGER", "REPEATED"),
        ("r", "RECORD", "NULLABLE"),
    ]
    assert rows(f"SELECT i, b, ts, local, n, l, r FROM {dataset}.t") == [
        (
            1,
            b"\x00",
            moment,
            moment.replace(tzinfo=None),
            Decimal("20.25"),
            [1, 2],
            {"x": 1, "y": ["z"]},
        )
    ]


def test_parquet_into_a_schema(load: Load, dataset: str, rows: Rows) -> None:
    schema = [*SCHEMA, SchemaField("tags", "STRING", "REPEATED")]
    table = pa.table({"ID": pa.array([1, 2], pa.int32()), "tags": pa.array([["a"], None])})
    load(parquet(table), "PARQUET", schema=schema)
    assert rows(f"SELECT * FROM {dataset}.t ORDER BY id") == [(1, None, ["a"]), (2, None, [])]
    with pytest.raises(BadRequest, match="no such field: extra"):
        load(parquet(pa.table({"id": [1], "extra": [1]})), "PARQUET", schema=schema)
    with pytest.raises(BadRequest, match="name"):
        load(parquet(pa.table({"id": [1], "name": [{"a": 1}]})), "PARQUET", schema=schema)
    with pytest.raises(BadRequest, match="Required field id cannot be null"):
        load(parquet(pa.table({"id": pa.array([None], pa.int64())})), "PARQUET", schema=schema)
    with pytest.raises(BadRequest, match="not a Parquet file"):
        load(b"PAR1 nonsense", "PARQUET", schema=schema)
    assert rows(f"SELECT COUNT(*) FROM {dataset}.t") == [(2,)]


def test_from_cloud_storage_with_wildcard(
    client: bigquery.Client, dataset: str, bucket: storage.Bucket, rows: Rows
) -> None:
    for number in (1, 2):
        bucket.blob(f"in/part-{number}.jsonl").upload_from_string(f'{{"id": {number}}}\n')
    bucket.blob("in/readme.txt").upload_from_string("not data")
    config = LoadJobConfig(source_format=JSONL, schema=SCHEMA)
    uri = f"gs://{bucket.name}/in/part-*.jsonl"
    job = client.load_table_from_uri(uri, f"{dataset}.t", job_config=config)
    job.result()
    assert (job.input_files, job.output_rows) == (2, 2)
    assert rows(f"SELECT id FROM {dataset}.t ORDER BY id") == [(1,), (2,)]
    missing = client.load_table_from_uri(
        f"gs://{bucket.name}/nothing.jsonl", f"{dataset}.t", job_config=config
    )
    with pytest.raises(NotFound):
        missing.result()


def test_an_upload_above_the_multipart_limit_is_resumable(
    load: Load, dataset: str, rows: Rows
) -> None:
    """Google's client sends files of unknown size, and large ones, in resumable uploads."""
    line = json.dumps({"id": 1, "name": "x" * 1000}).encode() + b"\n"
    load(line * 11_000, schema=SCHEMA)
    assert rows(f"SELECT COUNT(*), SUM(LENGTH(name)) FROM {dataset}.t") == [(11_000, 11_000_000)]


def test_load_table_from_json(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    given = [{"id": number, "tags": ["a"]} for number in range(3)]
    client.load_table_from_json(given, f"{dataset}.t").result()
    assert rows(f"SELECT * FROM {dataset}.t ORDER BY id") == [(n, ["a"]) for n in range(3)]


def test_a_load_with_the_id_of_an_earlier_one_is_refused(
    client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    config = LoadJobConfig(schema=SCHEMA)
    job_id = f"load_{uuid.uuid4().hex}"
    settings = {"job_id": job_id, "job_config": config}
    client.load_table_from_json([{"id": 1}], f"{dataset}.t", **settings).result()
    with pytest.raises(Conflict):
        client.load_table_from_json([{"id": 1}], f"{dataset}.t", **settings)
    assert rows(f"SELECT COUNT(*) FROM {dataset}.t") == [(1,)]


@pytest.mark.parametrize("source_format", ["AVRO", "ORC", "DATASTORE_BACKUP"])
def test_formats_that_are_not_served(load: Load, source_format: str) -> None:
    with pytest.raises(BadRequest, match=source_format):
        load(b"x", source_format)


def test_a_load_without_a_schema_is_refused(load: Load) -> None:
    with pytest.raises(BadRequest, match="No schema specified"):
        load(b'{"id": 1}')
