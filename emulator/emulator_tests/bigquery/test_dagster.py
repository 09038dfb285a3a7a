"""Dagster's own BigQuery integration, unchanged, against the emulator."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from google.cloud import bigquery

dg = pytest.importorskip("dagster")
BigQueryResource = pytest.importorskip("dagster_gcp").BigQueryResource
BigQueryPandasIOManager = pytest.importorskip("dagster_gcp_pandas").BigQueryPandasIOManager

Rows = Callable[..., list[tuple[Any, ...]]]


def test_dagster_resource(client: bigquery.Client, dataset: str) -> None:
    @dg.asset
    def counted(big: BigQueryResource) -> dg.MaterializeResult:  # type: ignore[name-defined, valid-type]
        with big.get_client() as inner:  # type: ignore[attr-defined]
            (row,) = inner.query(f"SELECT COUNT(*) AS n FROM {dataset}.t").result()
        return dg.MaterializeResult(metadata={"rows": row.n})

    client.query_and_wait(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x")
    result = dg.materialize([counted], resources={"big": BigQueryResource(project=client.project)})
    (event,) = result.asset_materializations_for_node("counted")
    assert event.metadata["rows"].value == 1


def test_dagster_pandas_io_manager(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    @dg.asset
    def numbers() -> pd.DataFrame:
        return pd.DataFrame({"x": [1, 2, 3], "name": ["a", "b", "c"]})

    @dg.asset
    def doubled(numbers: pd.DataFrame) -> pd.DataFrame:
        numbers.columns = [str(name).lower() for name in numbers.columns]
        return numbers.assign(x=numbers["x"] * 2)

    manager = BigQueryPandasIOManager(project=client.project, dataset=dataset)
    for _ in range(2):
        result = dg.materialize([numbers, doubled], resources={"io_manager": manager})
        assert result.success
    assert rows(f"SELECT x FROM {dataset}.doubled ORDER BY x") == [(2,), (4,), (6,)]


def test_dagster_pandas_io_manager_replaces_one_partition(
    client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    days = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset(partitions_def=days, metadata={"partition_expr": "part"})
    def parts(context: dg.AssetExecutionContext) -> pd.DataFrame:  # type: ignore[name-defined]
        return pd.DataFrame({"part": [context.partition_key], "n": [1]})

    manager = BigQueryPandasIOManager(project=client.project, dataset=dataset)
    for key in ("a", "b", "a"):
        assert dg.materialize([parts], partition_key=key, resources={"io_manager": manager}).success
    assert rows(f"SELECT part, n FROM {dataset}.parts ORDER BY part") == [("a", 1), ("b", 1)]
    assert rows(f"SELECT COUNT(*) FROM {dataset}.parts") == [(2,)]
