"""What is assumed of BigQuery: dry runs, real 404s, loads, merges, streams, exports."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from genaiops_dagster.google_cloud.warehouse import Column, Table
from genaiops_dagster.probe.assumption import Assumption
from genaiops_dagster.probe.bench import Bench, refused
from genaiops_dagster.probe.outcome import DiffersError, NotTriedError, expect

_DOCS = "https://cloud.google.com/bigquery/docs"
_MEGABYTE = 1 << 20
_DAY = "2026-01-01T00:00:00Z"


def _table(bench: Bench, name: str) -> Table:
    """A table like those of results, under a name of the probe."""
    return Table(
        bench.table_name(name),
        "Of a probe; may be deleted.",
        (
            Column("key", "STRING", "What identifies a row.", "REQUIRED"),
            Column("value", "INT64", "Any number."),
            Column("written", "TIMESTAMP", "When.", "REQUIRED"),
        ),
        keys=("key",),
        partition="written",
        clustering=("key",),
    )


def _row(key: str, value: int) -> dict[str, Any]:
    return {"key": key, "value": value, "written": _DAY}


def _values(bench: Bench, table: Table) -> dict[str, int]:
    target = bench.warehouse.table_id(table.name)
    sql = f"SELECT key, value FROM `{target}` WHERE written IS NOT NULL"  # noqa: S608 - our name
    return {row["key"]: row["value"] for row in bench.warehouse.rows(sql)}


def _dry_run(bench: Bench) -> str:
    found = bench.warehouse.estimate("SELECT 1 AS one, 'a' AS name")
    expect(found.columns == {"one": "INTEGER", "name": "STRING"}, f"columns: {found.columns}")
    return f"{found.bytes} bytes, and the columns with their types"


def _parameters(bench: Bench) -> str:
    rows = list(
        bench.warehouse.rows(
            "SELECT n FROM UNNEST([1, 2, 3]) AS n WHERE n IN UNNEST(@wanted) AND @name = 'a'",
            {"wanted": [2, 3], "name": "a"},
        )
    )
    expect(sorted(row["n"] for row in rows) == [2, 3], f"rows: {rows}")
    return "arrays and scalars are taken"


def _dataset(bench: Bench) -> str:
    if not bench.has_dataset:
        raise NotTriedError(f"{bench.settings.dataset} does not exist yet; a run makes it")
    found = bench.bigquery.get_dataset(bench.settings.dataset).location
    wanted = bench.settings.bigquery_location
    expect(found.upper() == wanted.upper(), f"it is in {found}, and {wanted} is configured")
    return f"it is in {found}"


def _missing_dataset(bench: Bench) -> str:
    with refused(404) as seen:
        bench.bigquery.get_table(f"{bench.settings.project}.genaiops_probe_{bench.run}.none")
    return seen[0]


def _missing_table(bench: Bench) -> str:
    table = bench.warehouse.table_id(bench.table_name("none"))
    with refused(404) as seen:
        bench.bigquery.get_table(table)
    with refused(404):
        bench.warehouse.estimate(f"SELECT * FROM `{table}`")  # noqa: S608 - our name
    return seen[0]


def _created(bench: Bench) -> str:
    table = _table(bench, "created")
    bench.warehouse.ensure_table(table)
    bench.warehouse.ensure_table(table)
    found = bench.bigquery.get_table(bench.warehouse.table_id(table.name))
    age = (bench.clock.now() - found.created).total_seconds()
    expect(abs(age) < 600, f"it says that it was created {age:.0f} s ago")
    return "a table says when it was created; creating it again does no harm"


def _load_job(bench: Bench) -> str:
    from google.api_core.exceptions import Conflict
    from google.cloud import bigquery

    table = bench.warehouse.table_id(bench.table_name("loaded"))
    job_id = f"genaiops_probe_{bench.run}"
    config = bigquery.LoadJobConfig(
        schema=[bigquery.SchemaField("n", "INT64")], write_disposition="WRITE_EMPTY"
    )

    def load() -> Any:
        return bench.bigquery.load_table_from_json(
            [{"n": 1}], table, job_config=config, job_id=job_id
        )

    load().result()
    try:
        load()
    except Conflict:
        bench.bigquery.get_job(job_id).result()
        return "409 for the second, and the first is found under its id"
    raise DiffersError("a second job of the same id was accepted")


def _json_lines(bench: Bench) -> str:
    request = {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    lines = json.dumps({"request": request}).encode()
    table = bench.warehouse.load_json_lines(bench.table_name("json"), lines, {"request": "JSON"})
    rows = bench.warehouse.head(table, 1)
    found = rows[0]["request"] if rows else None
    found = json.loads(found) if isinstance(found, str) else found
    expect(found == request, f"read back: {found}")
    return "a JSON column is loaded from lines, and read back as it was"


def _merge(bench: Bench) -> str:
    table = _table(bench, "merged")
    bench.warehouse.merge(table, [_row("a", 1), _row("b", 2)])
    for _ in range(2):
        bench.warehouse.merge(table, [_row("b", 3), _row("c", 4)])
    found = _values(bench, table)
    expect(found == {"a": 1, "b": 3, "c": 4}, f"rows: {found}")
    return "rows are replaced by key; doing it again changes nothing"


def _replace(bench: Bench) -> str:
    table = _table(bench, "replaced")
    bench.warehouse.merge(table, [_row("a", 1), _row("b", 1), _row("c", 2)])
    bench.warehouse.replace(table, [_row("d", 1)], {"value": 1})
    found = _values(bench, table)
    expect(found == {"c": 2, "d": 1}, f"rows: {found}")
    return "one statement takes old rows out and new ones in"


def _dry_merge(bench: Bench) -> str:
    table = _table(bench, "rehearsed")
    expect(not bench.warehouse.rehearse_merge(table), "a merge into a missing table was planned")
    bench.warehouse.ensure_table(table)
    expect(bench.warehouse.rehearse_merge(table), "a table that was just made is not found")
    return "404 without the table, and a plan with it"


def _concurrent(bench: Bench) -> str:
    table = _table(bench, "concurrent")
    bench.warehouse.ensure_table(table)
    keys = ["a", "b", "c"]
    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(lambda key: bench.warehouse.merge(table, [_row(key, 1)]), keys))
    found = sorted(_values(bench, table))
    expect(found == keys, f"of {len(keys)} merges at once, these rows are there: {found}")
    return f"{len(keys)} merges at once into one table, tried again where they conflict"


def _stream(bench: Bench) -> str:
    from google.api_core.exceptions import NotFound

    table = _table(bench, "streamed")
    target = bench.warehouse.ensure_table(table)
    try:
        errors = bench.bigquery.insert_rows_json(target, [_row("a", 1)], row_ids=["a"])
    except NotFound:
        return "404 for a table that was just made, after which rows are merged"
    expect(not errors, f"refused: {errors}")
    wrong = bench.bigquery.insert_rows_json(target, [{"key": "a", "other": 1}], row_ids=["b"])
    expect(wrong, "a row with an unknown column was taken")
    return "rows are taken with their ids; one that does not fit is refused by itself"


def _bytes_billed(bench: Bench) -> str:
    from google.api_core.exceptions import GoogleAPICallError

    table = _table(bench, "billed")
    bench.warehouse.merge(table, [_row("a", 1)])
    target = bench.warehouse.table_id(table.name)
    sql = f"SELECT key FROM `{target}`"  # noqa: S608 - our name
    try:
        list(bench.warehouse.query(sql, maximum_bytes_billed=1))
    except GoogleAPICallError as error:
        expect("bytesBilledLimitExceeded" in str(error), f"refused otherwise: {error.message}")
        return str(error.message).partition(";")[0]
    raise DiffersError("a query that reads more than it may bill was answered")


def _export(bench: Bench) -> str:
    folder = bench.folder("exported")
    uri = bench.store.uri(f"{folder}*.parquet")
    bench.warehouse.export("SELECT 1 AS n", {}, uri, maximum_bytes_billed=10 * _MEGABYTE)
    import pyarrow.parquet as parquet

    rows = [
        row
        for found in bench.store.list(folder)
        for row in parquet.read_table(io.BytesIO(bench.store.read(found.name) or b"")).to_pylist()
    ]
    expect(rows == [{"n": 1}], f"rows: {rows}")
    return "Parquet files in the bucket have the rows"


def _view(bench: Bench) -> str:
    name = bench.table_name("view")
    bench.warehouse.ensure_view(name, "SELECT 1 AS n", "Of a probe.")
    bench.warehouse.ensure_view(name, "SELECT 2 AS n", "Of a probe.")
    sql = f"SELECT n FROM `{bench.warehouse.table_id(name)}`"  # noqa: S608 - our name
    found = [row["n"] for row in bench.warehouse.rows(sql)]
    expect(found == [2], f"rows: {found}")
    return "it is created, and brought to another query"


def _public(bench: Bench) -> str:
    queries = [
        (use_case.source.sql, use_case.source.parameters)
        for use_case in bench.use_cases.values()
        if use_case.source.sql and "bigquery-public-data" in use_case.source.sql
    ]
    if not queries:
        raise NotTriedError("no use case reads a public data set")
    sizes = [bench.warehouse.estimate(sql, parameters).bytes for sql, parameters in queries]
    gigabytes = ", ".join(f"{size / 1e9:.2f}" for size in sizes)
    return f"in {bench.settings.bigquery_location}; GB that each query reads: {gigabytes}"


def _head(bench: Bench) -> str:
    table = bench.warehouse.load_json_lines(
        bench.table_name("head"), b'{"n": 1}\n{"n": 2}', {"n": "INT64"}
    )
    found = bench.warehouse.head(table, 1)
    expect(len(found) == 1, f"{len(found)} rows, and 1 was asked for")
    return "by tabledata.list, which is free of charge"


ASSUMPTIONS = (
    Assumption(
        "bigquery.dry-run",
        "BigQuery",
        "A dry run says how many bytes a query reads and which columns it returns",
        f"{_DOCS}/running-queries#dry-run",
        "`genaiops plan` and the limits of source queries rest on nothing",
        _dry_run,
    ),
    Assumption(
        "bigquery.parameters",
        "BigQuery",
        "Queries take scalars and arrays as named parameters",
        f"{_DOCS}/parameterized-queries",
        "Source queries with parameters fail",
        _parameters,
    ),
    Assumption(
        "bigquery.dataset-location",
        "BigQuery",
        "The dataset of result tables is in the location that is configured",
        f"{_DOCS}/locations",
        "Every load, query and export fails as if the dataset did not exist",
        _dataset,
    ),
    Assumption(
        "bigquery.missing-dataset-404",
        "BigQuery",
        "A table of a dataset that does not exist is answered with 404",
        f"{_DOCS}/error-messages",
        "Datasets are not created when they are first written, or created without need",
        _missing_dataset,
    ),
    Assumption(
        "bigquery.missing-table-404",
        "BigQuery",
        "A table that does not exist is answered with 404, by tables.get and by a query",
        f"{_DOCS}/error-messages",
        "Tables are not created when they are first written",
        _missing_table,
    ),
    Assumption(
        "bigquery.table-created",
        "BigQuery",
        "A table says when it was created, by which rows are not streamed into a young one",
        "https://github.com/googleapis/google-cloud-go/issues/975",
        "The first feedback after a table was made is lost",
        _created,
    ),
    Assumption(
        "bigquery.job-id-once",
        "BigQuery",
        "A second load job of the same id is refused with 409, and the first one is found by it",
        f"{_DOCS}/running-jobs",
        "Rows are loaded twice where an answer was lost",
        _load_job,
    ),
    Assumption(
        "bigquery.json-column",
        "BigQuery",
        "JSON lines are loaded into a column of type JSON, and read back unchanged",
        f"{_DOCS}/json-data",
        "Batches through BigQuery find no requests",
        _json_lines,
    ),
    Assumption(
        "bigquery.merge",
        "BigQuery",
        "A merge from a staging table replaces rows by key, and repeating it changes nothing",
        "https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax",
        "A step that runs again doubles its rows",
        _merge,
    ),
    Assumption(
        "bigquery.replace",
        "BigQuery",
        "A merge ON FALSE deletes unmatched rows of a condition and inserts others at once",
        "https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax",
        "Rows of an earlier result stay with those of the later one",
        _replace,
    ),
    Assumption(
        "bigquery.dry-merge",
        "BigQuery",
        "A dry run of a merge needs the same rights and tables, and changes nothing",
        f"{_DOCS}/running-queries#dry-run",
        "`genaiops doctor` promises merges that a run cannot make",
        _dry_merge,
    ),
    Assumption(
        "bigquery.concurrent-merges",
        "BigQuery",
        "Merges at once into one table all succeed, if those that conflict are sent again",
        f"{_DOCS}/data-manipulation-language",
        "Spend and reports of concurrent steps are missing from the tables",
        _concurrent,
    ),
    Assumption(
        "bigquery.stream",
        "BigQuery",
        "insertAll takes rows with ids, names those that do not fit, and a new table may be 404",
        f"{_DOCS}/reference/rest/v2/tabledata/insertAll",
        "Requests and feedback of production are lost, or stop what serves",
        _stream,
    ),
    Assumption(
        "bigquery.maximum-bytes-billed",
        "BigQuery",
        "A query that would bill more than maximumBytesBilled fails, unbilled",
        f"{_DOCS}/best-practices-costs",
        "A source query costs more than the use case allows",
        _bytes_billed,
    ),
    Assumption(
        "bigquery.export",
        "BigQuery",
        "EXPORT DATA writes Parquet files into the bucket, whose location goes with the dataset's",
        "https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements",
        "Large sources cannot be read",
        _export,
    ),
    Assumption(
        "bigquery.view",
        "BigQuery",
        "A view is created, found and brought to another query",
        f"{_DOCS}/views",
        "The leaderboard for dashboards is missing or old",
        _view,
    ),
    Assumption(
        "bigquery.public-data",
        "BigQuery",
        "The public tables that use cases read are in the location where their queries run",
        "https://cloud.google.com/bigquery/public-data",
        "The first step of the shipped use cases fails",
        _public,
    ),
    Assumption(
        "bigquery.free-head",
        "BigQuery",
        "The first rows of a table are listed without a query",
        f"{_DOCS}/managing-table-data#browse-table",
        "Looking at a source table costs money",
        _head,
    ),
)  # fmt: skip
