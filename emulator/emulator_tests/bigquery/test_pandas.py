"""pandas, unchanged, against the emulator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from google.cloud import bigquery

Rows = Callable[..., list[tuple[Any, ...]]]


def test_query_to_dataframe(client: bigquery.Client) -> None:
    frame = client.query(
        """SELECT x, x / 2 AS half, CAST(x AS STRING) AS s, [x, x] AS list,
        TIMESTAMP_SECONDS(x) AS ts, DATE_FROM_UNIX_DATE(x) AS d, NUMERIC '1.5' AS n, x > 1 AS b
        FROM UNNEST([1, 2, 3]) AS x ORDER BY x"""
    ).to_dataframe(create_bqstorage_client=False)
    assert list(frame["x"]) == [1, 2, 3]
    assert list(frame["half"]) == [0.5, 1.0, 1.5]
    assert [list(value) for value in frame["list"]] == [[1, 1], [2, 2], [3, 3]]
    assert frame["ts"][0] == pd.Timestamp(1, unit="s", tz="UTC")
    assert frame["d"][0] == dt.date(1970, 1, 2)
    assert frame["n"][0] == Decimal("1.5")
    assert list(frame["b"]) == [False, True, True]


def test_an_empty_result_keeps_its_columns(client: bigquery.Client) -> None:
    frame = client.query("SELECT 1 AS a, 'x' AS b LIMIT 0").to_dataframe(
        create_bqstorage_client=False
    )
    assert list(frame.columns) == ["a", "b"]
    assert frame.empty


def test_dataframe_to_table_and_back(client: bigquery.Client, dataset: str) -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "f": [1.5, None],
            "s": ["a", None],
            "b": [True, False],
            "ts": pd.to_datetime(pd.Series(["2020-01-01T00:00:00.123456Z", None])),
            "local": pd.to_datetime(["2020-01-01", "2020-01-02"]),
            "d": [dt.date(2020, 1, 1), dt.date(2020, 1, 2)],
            "list": [["x"], []],
        }
    )
    client.load_table_from_dataframe(frame, f"{dataset}.t").result()
    back = client.list_rows(f"{dataset}.t").to_dataframe(create_bqstorage_client=False)
    assert list(back["i"]) == [1, 2]
    assert back["f"][0] == 1.5
    assert pd.isna(back["f"][1])
    assert list(back["s"]) == ["a", None]
    assert back["ts"][0] == frame["ts"][0]
    assert pd.isna(back["ts"][1])
    assert back["local"][1] == frame["local"][1]
    assert [list(value) for value in back["list"]] == [["x"], []]
    assert {field.name: field.field_type for field in client.get_table(f"{dataset}.t").schema} == {
        "i": "INTEGER",
        "f": "FLOAT",
        "s": "STRING",
        "b": "BOOLEAN",
        "ts": "TIMESTAMP",
        "local": "DATETIME",
        "d": "DATE",
        "list": "STRING",
    }


@pytest.mark.parametrize("size", [0, 1])
def test_small_frames(client: bigquery.Client, dataset: str, size: int, rows: Rows) -> None:
    schema = [bigquery.SchemaField("x", "INTEGER")]
    frame = pd.DataFrame({"x": pd.array(list(range(size)), dtype="Int64")})
    config = bigquery.LoadJobConfig(schema=schema, write_disposition="WRITE_TRUNCATE")
    client.load_table_from_dataframe(frame, f"{dataset}.t", job_config=config).result()
    assert rows(f"SELECT COUNT(*) FROM {dataset}.t") == [(size,)]
