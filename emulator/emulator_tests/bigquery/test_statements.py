"""DML, DDL, scripts and transactions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax,
.../data-definition-language, .../transactions and .../information-schema-intro.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def inventory(client: bigquery.Client, dataset: str) -> str:
    """The table of the reference's DML examples."""
    table = f"{dataset}.inventory"
    client.query_and_wait(
        f"CREATE TABLE {table} (product STRING, quantity INT64, tags ARRAY<STRING>)"
    )
    client.query_and_wait(
        f"INSERT {table} (product, quantity)"
        " VALUES ('dishwasher', 30), ('microwave', 20), ('oven', 5)"
    )
    return table


def stats(job: bigquery.QueryJob) -> tuple[int, int, int]:
    job.result()
    counts = job.dml_stats
    return counts.inserted_row_count, counts.updated_row_count, counts.deleted_row_count


def test_insert_counts_rows_and_fills_missing_columns(
    client: bigquery.Client, inventory: str, rows: Rows
) -> None:
    job = client.query(f"INSERT INTO {inventory} (product) SELECT x FROM UNNEST(['a', 'b']) AS x")
    assert stats(job) == (2, 0, 0)
    assert (job.statement_type, job.num_dml_affected_rows) == ("INSERT", 2)
    assert rows(f"SELECT quantity, tags, tags IS NULL FROM {inventory} WHERE product = 'a'") == [
        (None, [], False)
    ]


def test_insert_checks_columns_and_types(inventory: str, rows: Rows) -> None:
    for values, message in (
        ("(product) VALUES (1)", "cannot be assigned to product, which has type STRING"),
        ("(product, quantity) VALUES ('a')", "wrong column count"),
        ("(color) VALUES ('a')", "Column color is not present"),
    ):
        with pytest.raises(BadRequest, match=message):
            rows(f"INSERT INTO {inventory} {values}")


def test_update_with_and_without_from(client: bigquery.Client, inventory: str, rows: Rows) -> None:
    job = client.query(f"UPDATE {inventory} SET quantity = quantity - 10 WHERE quantity >= 20")
    assert stats(job) == (0, 2, 0)
    arrivals = "(SELECT 'oven' AS product, 30 AS quantity UNION ALL SELECT 'fridge', 1)"
    job = client.query(
        f"UPDATE {inventory} i SET quantity = i.quantity + a.quantity, tags = ['new']"
        f" FROM {arrivals} a WHERE i.product = a.product"
    )
    assert stats(job) == (0, 1, 0)
    assert rows(f"SELECT product, quantity FROM {inventory} ORDER BY 1") == [
        ("dishwasher", 20),
        ("microwave", 10),
        ("oven", 35),
    ]


def test_update_refuses_two_matches_for_one_row(inventory: str, rows: Rows) -> None:
    twice = "(SELECT 'oven' AS product, 1 AS n UNION ALL SELECT 'oven', 2)"
    with pytest.raises(BadRequest, match="must match at most one source row"):
        rows(f"UPDATE {inventory} i SET quantity = n FROM {twice} s WHERE i.product = s.product")
    assert rows(f"SELECT quantity FROM {inventory} WHERE product = 'oven'") == [(5,)]


def test_update_and_delete_need_a_where_clause(inventory: str, rows: Rows) -> None:
    with pytest.raises(BadRequest, match="UPDATE must have a WHERE clause"):
        rows(f"UPDATE {inventory} SET quantity = 0")
    with pytest.raises(BadRequest, match="DELETE must have a WHERE clause"):
        rows(f"DELETE FROM {inventory}")


def test_delete_and_truncate(client: bigquery.Client, inventory: str, rows: Rows) -> None:
    assert stats(client.query(f"DELETE {inventory} WHERE quantity = 5")) == (0, 0, 1)
    assert stats(client.query(f"TRUNCATE TABLE {inventory}")) == (0, 0, 2)
    assert rows(f"SELECT * FROM {inventory}") == []


def test_merge_inserts_updates_and_deletes(
    client: bigquery.Client, inventory: str, rows: Rows
) -> None:
    job = client.query(
        f"""
        MERGE {inventory} T
        USING (SELECT 'oven' AS product, 30 AS quantity UNION ALL SELECT 'dryer', 7) S
        ON T.product = S.product
        WHEN MATCHED THEN UPDATE SET quantity = T.quantity + S.quantity
        WHEN NOT MATCHED BY TARGET THEN INSERT (product, quantity) VALUES (product, quantity)
        WHEN NOT MATCHED BY SOURCE AND T.quantity > 25 THEN DELETE
        """
    )
    assert stats(job) == (1, 1, 1)
    assert job.statement_type == "MERGE"
    assert rows(f"SELECT product, quantity FROM {inventory} ORDER BY 1") == [
        ("dryer", 7),
        ("microwave", 20),
        ("oven", 35),
    ]


def test_merge_insert_row_and_constant_false(inventory: str, rows: Rows) -> None:
    rows(
        f"MERGE {inventory} USING (SELECT 'tv', 1, ['x']) ON FALSE WHEN NOT MATCHED THEN INSERT ROW"
    )
    rows(
        f"MERGE {inventory} USING (SELECT 1) ON FALSE"
        " WHEN NOT MATCHED THEN INSERT VALUES ('radio', 2, [])"
    )
    sql = f"SELECT quantity, tags FROM {inventory} WHERE product IN ('tv', 'radio') ORDER BY 1"
    assert rows(sql) == [(1, ["x"]), (2, [])]


def test_merge_refuses_two_matches_for_one_row(inventory: str, rows: Rows) -> None:
    with pytest.raises(BadRequest, match="must match at most one source row"):
        rows(
            f"MERGE {inventory} T USING (SELECT 'oven' AS p UNION ALL SELECT 'oven') S"
            " ON T.product = S.p WHEN MATCHED THEN DELETE"
        )


def test_two_merges_at_once_both_land(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.counts (id INT64, n INT64)")
    client.query_and_wait(f"INSERT {dataset}.counts VALUES (1, 0)")
    merge = f"""
      MERGE {dataset}.counts T USING (SELECT 1 AS id) S ON T.id = S.id
      WHEN MATCHED THEN UPDATE SET n = T.n + 1
      WHEN NOT MATCHED THEN INSERT (id, n) VALUES (S.id, 1)"""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.query(merge).result(), range(16)))
    assert rows(f"SELECT n FROM {dataset}.counts") == [(16,)]


def test_create_table_with_everything(client: bigquery.Client, dataset: str) -> None:
    job = client.query(
        f"""
        CREATE TABLE {dataset}.t (
          x INT64 NOT NULL OPTIONS(description='a number'),
          y STRUCT<a ARRAY<STRING>, b BOOL OPTIONS(description='a flag')>,
          day DATE)
        PARTITION BY DATE_TRUNC(day, MONTH)
        CLUSTER BY x
        OPTIONS(description='a table', labels=[('org', 'dev')], partition_expiration_days=3,
                require_partition_filter=TRUE)
        """
    )
    job.result()
    assert job.ddl_operation_performed == "CREATE"
    assert job.ddl_target_table.table_id == "t"
    table = client.get_table(f"{dataset}.t")
    assert table.description == "a table"
    assert table.labels == {"org": "dev"}
    assert table.clustering_fields == ["x"]
    assert table.time_partitioning.type_ == "MONTH"
    assert table.time_partitioning.field == "day"
    assert table.time_partitioning.expiration_ms == 3 * 86_400_000
    assert table.schema == [
        bigquery.SchemaField("x", "INTEGER", "REQUIRED", description="a number"),
        bigquery.SchemaField(
            "y",
            "RECORD",
            fields=(
                bigquery.SchemaField("a", "STRING", "REPEATED"),
                bigquery.SchemaField("b", "BOOLEAN", description="a flag"),
            ),
        ),
        bigquery.SchemaField("day", "DATE"),
    ]


def test_create_table_as_select_or_replace_if_not_exists(
    client: bigquery.Client, dataset: str, rows: Rows
) -> None:
    sql = f"""TABLE {dataset}.t PARTITION BY day CLUSTER BY x
      AS SELECT 1 AS x, DATE '2020-01-01' AS day"""
    rows(f"CREATE {sql}")
    with pytest.raises(Conflict, match="Already Exists"):
        rows(f"CREATE {sql}")
    job = client.query(f"CREATE TABLE IF NOT EXISTS {dataset}.t AS SELECT 2 AS x")
    job.result()
    assert job.ddl_operation_performed == "SKIP"
    rows(f"CREATE OR REPLACE TABLE {dataset}.t AS SELECT x + 1 AS x FROM {dataset}.t")
    assert rows(f"SELECT * FROM {dataset}.t") == [(2,)]
    assert client.get_table(f"{dataset}.t").time_partitioning is None


def test_integer_range_partitions(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    rows(
        f"CREATE TABLE {dataset}.t PARTITION BY RANGE_BUCKET(x, GENERATE_ARRAY(0, 100, 10))"
        " AS SELECT x FROM UNNEST([1, 5, 25]) AS x"
    )
    layout = client.get_table(f"{dataset}.t").range_partitioning
    assert (layout.field, layout.range_.start, layout.range_.end, layout.range_.interval) == (
        "x",
        0,
        100,
        10,
    )
    sql = f"SELECT partition_id, total_rows FROM {dataset}.INFORMATION_SCHEMA.PARTITIONS ORDER BY 1"
    assert rows(sql) == [("0", 2), ("20", 1)]


def test_create_table_like_and_copy(dataset: str, rows: Rows) -> None:
    rows(f"CREATE TABLE {dataset}.a AS SELECT 1 AS x")
    rows(f"CREATE TABLE {dataset}.b LIKE {dataset}.a")
    rows(f"CREATE TABLE {dataset}.c COPY {dataset}.a")
    assert rows(f"SELECT COUNT(*) FROM {dataset}.b") == [(0,)]
    assert rows(f"SELECT x FROM {dataset}.c") == [(1,)]


def test_views_read_their_tables_anew(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    rows(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x, 'a' AS y")
    rows(
        f"CREATE VIEW {dataset}.v OPTIONS(description='seen') AS"
        " SELECT y, ARRAY_AGG(x IGNORE NULLS ORDER BY x LIMIT 5) AS xs, COUNT(*) AS `n`"
        f" FROM {dataset}.t GROUP BY y"
    )
    rows(f"INSERT {dataset}.t VALUES (0, 'a')")
    assert rows(f"SELECT * FROM {dataset}.v") == [("a", [0, 1], 2)]
    view = client.get_table(f"{dataset}.v")
    assert (view.table_type, view.description) == ("VIEW", "seen")
    assert [field.name for field in view.schema] == ["y", "xs", "n"]
    assert view.view_query.startswith("SELECT y, ARRAY_AGG(x IGNORE NULLS ORDER BY x LIMIT 5) AS")
    rows(f"CREATE OR REPLACE VIEW {dataset}.v AS SELECT 5 AS five")
    assert rows(f"SELECT five FROM {dataset}.v") == [(5,)]
    with pytest.raises(BadRequest, match="is a view"):
        rows(f"DELETE FROM {dataset}.v WHERE TRUE")
    rows(f"DROP VIEW {dataset}.v")


def test_alter_table(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    rows(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x")
    rows(f"ALTER TABLE {dataset}.t ADD COLUMN y STRING, ADD COLUMN IF NOT EXISTS z ARRAY<INT64>")
    rows(f"ALTER TABLE {dataset}.t RENAME COLUMN y TO label")
    rows(f"ALTER TABLE {dataset}.t SET OPTIONS(description='changed', labels=[('k', 'v')])")
    assert rows(f"SELECT x, label, z FROM {dataset}.t") == [(1, None, [])]
    rows(f"ALTER TABLE {dataset}.t DROP COLUMN z")
    rows(f"ALTER TABLE {dataset}.t RENAME TO renamed")
    table = client.get_table(f"{dataset}.renamed")
    assert (table.description, table.labels) == ("changed", {"k": "v"})
    assert [field.name for field in table.schema] == ["x", "label"]
    with pytest.raises(NotFound):
        client.get_table(f"{dataset}.t")


def test_schemas_are_created_and_dropped(client: bigquery.Client, dataset: str, rows: Rows) -> None:
    name = f"{dataset}_other"
    rows(f"CREATE SCHEMA {name} OPTIONS(description='d', location='EU')")
    created = client.get_dataset(name)
    assert (created.description, created.location) == ("d", "EU")
    rows(f"CREATE SCHEMA IF NOT EXISTS {name}")
    rows(f"CREATE TABLE {name}.t AS SELECT 1 AS x")
    with pytest.raises(BadRequest, match="still in use"):
        rows(f"DROP SCHEMA {name}")
    rows(f"DROP SCHEMA {name} CASCADE")
    rows(f"DROP SCHEMA IF EXISTS {name}")
    with pytest.raises(NotFound):
        client.get_dataset(name)


def test_drop_table(dataset: str, rows: Rows) -> None:
    rows(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x")
    with pytest.raises(BadRequest, match="is not a VIEW"):
        rows(f"DROP VIEW {dataset}.t")
    rows(f"DROP TABLE {dataset}.t")
    rows(f"DROP TABLE IF EXISTS {dataset}.t")
    with pytest.raises(NotFound):
        rows(f"DROP TABLE {dataset}.t")


def test_required_columns_refuse_null(dataset: str, rows: Rows) -> None:
    rows(f"CREATE TABLE {dataset}.t (x INT64 NOT NULL, y INT64)")
    with pytest.raises(BadRequest, match="Required field x cannot be null"):
        rows(f"INSERT {dataset}.t (y) VALUES (1)")


def test_a_script_gives_the_result_of_its_last_query(client: bigquery.Client, dataset: str) -> None:
    job = client.query(
        f"""
        CREATE TABLE {dataset}.t AS SELECT 1 AS x;
        INSERT {dataset}.t VALUES (2);
        SELECT SUM(x) AS total FROM {dataset}.t;  -- the result
        """
    )
    assert [row.total for row in job.result()] == [3]
    assert job.statement_type == "SCRIPT"


def test_a_transaction_commits_as_a_whole(dataset: str, rows: Rows) -> None:
    rows(f"CREATE TABLE {dataset}.t AS SELECT 1 AS x")
    found = rows(
        f"""
        BEGIN TRANSACTION;
        INSERT {dataset}.t VALUES (2);
        SELECT SUM(x) FROM {dataset}.t;
        COMMIT TRANSACTION;
        """
    )
    assert found == [(3,)]
    with pytest.raises(BadRequest, match="division by zero"):
        rows(f"BEGIN; DELETE {dataset}.t WHERE TRUE; SELECT 1 / 0; COMMIT")
    rows(f"BEGIN TRANSACTION; DELETE {dataset}.t WHERE TRUE; ROLLBACK TRANSACTION")
    assert rows(f"SELECT SUM(x) FROM {dataset}.t") == [(3,)]


def test_an_earlier_statement_of_a_failed_script_stays(dataset: str, rows: Rows) -> None:
    with pytest.raises(BadRequest, match="Could not cast"):
        rows(
            f"CREATE TABLE {dataset}.t AS SELECT 1 AS x;"
            " SELECT CAST(s AS INT64) FROM UNNEST(['a']) AS s"
        )
    assert rows(f"SELECT x FROM {dataset}.t") == [(1,)]


def test_information_schema(dataset: str, rows: Rows) -> None:
    rows(
        f"CREATE TABLE {dataset}.t (x INT64 NOT NULL, s STRUCT<a ARRAY<STRING>>) CLUSTER BY x"
        """ OPTIONS(description="it's")"""
    )
    rows(f"CREATE VIEW {dataset}.v AS SELECT 1 AS one")
    schema = f"{dataset}.INFORMATION_SCHEMA"
    assert rows(f"SELECT table_name, table_type FROM {schema}.TABLES ORDER BY 1") == [
        ("t", "BASE TABLE"),
        ("v", "VIEW"),
    ]
    columns = "column_name, ordinal_position, is_nullable, data_type, clustering_ordinal_position"
    assert rows(f"SELECT {columns} FROM {schema}.COLUMNS WHERE table_name = 't' ORDER BY 2") == [
        ("x", 1, "NO", "INT64", 1),
        ("s", 2, "YES", "STRUCT<a ARRAY<STRING>>", None),
    ]
    assert rows(f"SELECT option_value FROM {schema}.TABLE_OPTIONS") == [('"it\'s"',)]
    assert (dataset,) in rows("SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA")
    assert (dataset,) in rows("SELECT schema_name FROM `region-us`.INFORMATION_SCHEMA.SCHEMATA")


def test_tables_metadata_view(dataset: str, rows: Rows) -> None:
    rows(f"CREATE TABLE {dataset}.t AS SELECT x FROM UNNEST([1, 2, NULL]) AS x")
    sql = f"SELECT table_id, row_count, size_bytes, type FROM {dataset}.__TABLES__"
    assert rows(sql) == [("t", 3, 16, 1)]


def test_names_differ_by_case(dataset: str, rows: Rows) -> None:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#case_sensitivity."""
    rows(f"CREATE TABLE {dataset}.T AS SELECT 1 AS x")
    rows(f"CREATE TABLE {dataset}.t AS SELECT 2 AS x")
    assert rows(f"SELECT X FROM {dataset}.T UNION ALL SELECT x FROM {dataset}.t ORDER BY 1") == [
        (1,),
        (2,),
    ]
