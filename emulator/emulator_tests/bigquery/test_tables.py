"""Datasets, tables, streamed rows and listed rows.

https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets, .../tables and .../tabledata.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import urllib.request
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField

from vertex_emulator.testing import RunningEmulator

Rows = Callable[..., list[tuple[Any, ...]]]


def test_dataset_life(client: bigquery.Client) -> None:
    name = f"life_{uuid.uuid4().hex}"
    created = bigquery.Dataset(f"{client.project}.{name}")
    created.description = "first"
    created.labels = {"team": "ml"}
    created.location = "EU"
    client.create_dataset(created)
    with pytest.raises(Conflict, match="Already Exists: Dataset"):
        client.create_dataset(name)
    client.create_dataset(name, exists_ok=True)
    found = client.get_dataset(name)
    assert (found.description, found.labels, found.location) == ("first", {"team": "ml"}, "EU")
    assert found.created is not None
    found.description = "second"
    found.labels = {"team": None, "kind": "test"}
    client.update_dataset(found, ["description", "labels"])
    found = client.get_dataset(name)
    assert (found.description, found.labels) == ("second", {"kind": "test"})
    assert name in [each.dataset_id for each in client.list_datasets(filter="labels.kind:test")]
    client.delete_dataset(name)
    with pytest.raises(NotFound, match="Not found: Dataset"):
        client.get_dataset(name)
    client.delete_dataset(name, not_found_ok=True)


def test_dataset_with_tables_is_not_deleted_by_accident(
    client: bigquery.Client, dataset: str
) -> None:
    client.create_table(f"{client.project}.{dataset}.t")
    with pytest.raises(BadRequest, match="still in use"):
        client.delete_dataset(dataset)
    client.delete_dataset(dataset, delete_contents=True)


@pytest.mark.parametrize("name", ["with-dash", "a b", "../x", "ünï"])
def test_dataset_names_that_are_not_allowed(client: bigquery.Client, name: str) -> None:
    with pytest.raises(BadRequest, match="Invalid dataset ID"):
        client.create_dataset(bigquery.DatasetReference(client.project, name))


def test_another_project_has_its_own_datasets(client: bigquery.Client, rows: Rows) -> None:
    client.create_dataset("other-project.shared", exists_ok=True)
    client.query_and_wait("CREATE OR REPLACE TABLE `other-project.shared.t` AS SELECT 7 AS x")
    assert rows("SELECT x FROM `other-project.shared.t`") == [(7,)]
    assert rows("SELECT x FROM `other-project`.shared.t") == [(7,)]
    assert "shared" in [each.dataset_id for each in client.list_datasets("other-project")]
    assert "shared" not in [each.dataset_id for each in client.list_datasets()]
    assert "other-project" in [each.project_id for each in client.list_projects()]


SCHEMA = [
    SchemaField("id", "INTEGER", "REQUIRED", description="number"),
    SchemaField("score", "FLOAT"),
    SchemaField("amount", "NUMERIC"),
    SchemaField("good", "BOOLEAN"),
    SchemaField("name", "STRING"),
    SchemaField("raw", "BYTES"),
    SchemaField("day", "DATE"),
    SchemaField("clock", "TIME"),
    SchemaField("local", "DATETIME"),
    SchemaField("moment", "TIMESTAMP"),
    SchemaField("document", "JSON"),
    SchemaField("tags", "STRING", "REPEATED"),
    SchemaField(
        "parts",
        "RECORD",
        "REPEATED",
        fields=(SchemaField("n", "INTEGER"), SchemaField("at", "TIMESTAMP")),
    ),
]
ROW = (
    1,
    2.5,
    Decimal("12345678901234567890.123456789"),
    True,
    "naïve 'quote'",
    b"\x00\xff",
    dt.date(1, 1, 1),
    dt.time(23, 59, 59, 123456),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
    dt.datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
    {"b": [1, 2.5, None], "c": {"d": "é"}},
    ["x", "y"],
    [{"n": 1, "at": dt.datetime(1969, 12, 31, tzinfo=dt.UTC)}, {"n": None, "at": None}],
)


@pytest.fixture
def table(client: bigquery.Client, dataset: str) -> bigquery.Table:
    return client.create_table(bigquery.Table(f"{client.project}.{dataset}.t", SCHEMA))


def test_table_life(client: bigquery.Client, dataset: str) -> None:
    table = bigquery.Table(f"{client.project}.{dataset}.t", SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning("DAY", field="moment")
    table.clustering_fields = ["name", "id"]
    table.description, table.labels, table.friendly_name = "d", {"a": "b"}, "f"
    client.create_table(table)
    with pytest.raises(Conflict, match="Already Exists: Table"):
        client.create_table(table)
    found = client.get_table(f"{dataset}.t")
    assert found.schema == SCHEMA
    assert (found.description, found.labels, found.friendly_name) == ("d", {"a": "b"}, "f")
    assert found.time_partitioning.field == "moment"
    assert found.clustering_fields == ["name", "id"]
    assert (found.num_rows, found.num_bytes, found.table_type) == (0, 0, "TABLE")
    assert [item.table_id for item in client.list_tables(dataset)] == ["t"]
    client.delete_table(f"{dataset}.t")
    with pytest.raises(NotFound, match="Not found: Table"):
        client.get_table(f"{dataset}.t")


def test_every_type_survives_the_round_trip(
    client: bigquery.Client, table: bigquery.Table, rows: Rows
) -> None:
    assert client.insert_rows(table, [dict(zip([f.name for f in SCHEMA], ROW, strict=True))]) == []
    assert [row.values() for row in client.list_rows(table)] == [ROW]
    assert rows(f"SELECT * FROM {table.dataset_id}.t") == [ROW]
    client.query_and_wait(
        f"CREATE TABLE {table.dataset_id}.copy AS SELECT * FROM {table.dataset_id}.t"
    )
    assert [row.values() for row in client.list_rows(f"{table.dataset_id}.copy")] == [ROW]


def test_schema_update_adds_columns_and_descriptions(
    client: bigquery.Client, table: bigquery.Table, rows: Rows
) -> None:
    client.insert_rows_json(table, [{"id": 1}])
    changed = client.get_table(table)
    changed.schema = [
        *SCHEMA[:4],
        SchemaField("name", "STRING", description="a name"),
        *SCHEMA[5:],
        SchemaField("added", "STRING"),
        SchemaField("many", "INTEGER", "REPEATED"),
    ]
    client.update_table(changed, ["schema"])
    assert client.get_table(table).schema[4].description == "a name"
    assert rows(f"SELECT added, many FROM {table.dataset_id}.t") == [(None, [])]
    changed = client.get_table(table)
    changed.schema = SCHEMA[:2]
    with pytest.raises(BadRequest, match="is missing in new schema"):
        client.update_table(changed, ["schema"])


def test_required_columns_can_be_relaxed(client: bigquery.Client, table: bigquery.Table) -> None:
    assert client.insert_rows_json(table, [{"name": "a"}])[0]["errors"][0]["location"] == "id"
    table.schema = [SchemaField("id", "INTEGER", "NULLABLE"), *SCHEMA[1:]]
    table = client.update_table(table, ["schema"])
    assert client.insert_rows_json(table, [{"name": "a"}]) == []


def test_update_with_an_old_etag_fails(client: bigquery.Client, table: bigquery.Table) -> None:
    first, second = client.get_table(table), client.get_table(table)
    first.description = "first"
    client.update_table(first, ["description"])
    second.description = "second"
    with pytest.raises(PreconditionFailed):
        client.update_table(second, ["description"])


def test_expired_tables_are_gone(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    table = bigquery.Table(f"{client.project}.{dataset}.t", SCHEMA)
    table.expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.3)
    client.create_table(table)
    assert rows(f"SELECT COUNT(*) FROM {dataset}.t") == [(0,)]
    time.sleep(0.4)
    with pytest.raises(NotFound):
        client.get_table(f"{dataset}.t")
    client.create_table(bigquery.Table(f"{client.project}.{dataset}.t"))


def test_view_by_the_api(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    view = bigquery.Table(f"{client.project}.{dataset}.v")
    view.view_query = "SELECT 1 AS one, ['a'] AS list"
    client.create_table(view)
    found = client.get_table(f"{dataset}.v")
    assert (found.table_type, found.view_query) == ("VIEW", "SELECT 1 AS one, ['a'] AS list")
    assert [field.name for field in found.schema] == ["one", "list"]
    assert rows(f"SELECT * FROM {dataset}.v") == [(1, ["a"])]
    view.view_query = "SELECT nothing FROM t"
    with pytest.raises(BadRequest):
        client.update_table(view, ["view_query"])


def test_streamed_rows_that_do_not_fit_stop_all(
    client: bigquery.Client, table: bigquery.Table
) -> None:
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll."""
    given = [
        {"id": 1},
        {"id": "x"},
        {"id": 3, "nothing": 1},
        {"id": 4, "parts": [{"n": "y"}]},
        {"id": 5, "tags": "not a list"},
    ]
    errors = client.insert_rows_json(table, given)
    found = {error["index"]: error["errors"][0] for error in errors}
    assert found[0]["reason"] == "stopped"
    assert (found[1]["reason"], found[1]["location"]) == ("invalid", "id")
    assert (found[2]["location"], found[2]["message"]) == ("nothing", "no such field.")
    assert found[3]["location"] == "parts[0].n"
    assert found[4]["location"] == "tags"
    assert list(client.list_rows(table)) == []


def test_streamed_rows_that_do_not_fit_can_be_skipped(
    client: bigquery.Client, table: bigquery.Table
) -> None:
    errors = client.insert_rows_json(
        table,
        [{"id": 1}, {"id": "x"}, {"id": 3, "nothing": 1}],
        skip_invalid_rows=True,
        ignore_unknown_values=True,
    )
    assert [error["index"] for error in errors] == [1]
    assert sorted(row.id for row in client.list_rows(table)) == [1, 3]


def test_a_row_sent_twice_with_one_insert_id_lands_once(
    client: bigquery.Client, table: bigquery.Table
) -> None:
    for _ in range(2):
        client.insert_rows_json(table, [{"id": 1}, {"id": 2}], row_ids=["a", "b"])
    client.insert_rows_json(table, [{"id": 3}], row_ids=[None])
    assert sorted(row.id for row in client.list_rows(table)) == [1, 2, 3]


def test_rows_are_listed_by_page_column_and_place(
    client: bigquery.Client, table: bigquery.Table
) -> None:
    client.insert_rows_json(table, [{"id": number, "name": str(number)} for number in range(25)])
    pages = list(client.list_rows(table, page_size=10).pages)
    assert [page.num_items for page in pages] == [10, 10, 5]
    ids = [SchemaField("id", "INTEGER")]
    found = client.list_rows(table, selected_fields=ids, start_index=20, max_results=3)
    assert [row.values() for row in found] == [(20,), (21,), (22,)]
    assert client.get_table(table).num_rows == 25


def test_sizes_are_those_of_the_data_types(client: bigquery.Client, dataset: str) -> None:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes."""
    client.query_and_wait(
        f"""CREATE TABLE {dataset}.t AS SELECT 1 AS i, 'ab' AS s, b'abc' AS b, TRUE AS t,
        NUMERIC '1' AS n, [1, 2] AS a, STRUCT(1.5 AS x, 'é' AS y) AS r, CAST(NULL AS INT64) AS z"""
    )
    assert client.get_table(f"{dataset}.t").num_bytes == 8 + 4 + 5 + 1 + 16 + 16 + 8 + 4


def test_timestamps_come_in_the_asked_format(
    emulator: RunningEmulator, client: bigquery.Client, table: bigquery.Table
) -> None:
    client.insert_rows_json(table, [{"id": 1, "moment": "2020-01-02T03:04:05.678901Z"}])
    path = f"{emulator.url}/bigquery/v2{table.path}/data?selectedFields=moment"

    def moment(options: str) -> str:
        with urllib.request.urlopen(path + options) as answer:
            return json.load(answer)["rows"][0]["f"][0]["v"]

    assert moment("&formatOptions.useInt64Timestamp=true") == "1577934245678901"
    assert float(moment("")) == pytest.approx(1577934245.678901)
    iso = moment("&formatOptions.timestampOutputFormat=ISO8601_STRING")
    assert iso == "2020-01-02T03:04:05.678901Z"


def test_refusals_of_tables(client: bigquery.Client, dataset: str) -> None:
    external = bigquery.Table(f"{client.project}.{dataset}.t")
    external.external_data_configuration = bigquery.ExternalConfig("CSV")
    with pytest.raises(BadRequest, match="external tables"):
        client.create_table(external)
    with pytest.raises(BadRequest, match="partition decorators"):
        client.create_table(f"{client.project}.{dataset}.t$20200101")
    wrong = bigquery.Table(f"{client.project}.{dataset}.t", SCHEMA)
    wrong.time_partitioning = bigquery.TimePartitioning("DAY", field="name")
    with pytest.raises(BadRequest, match="Cannot partition by name"):
        client.create_table(wrong)
