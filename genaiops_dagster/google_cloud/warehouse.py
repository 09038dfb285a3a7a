"""Tables of one BigQuery dataset: queries with parameters, and writes that can be repeated."""

from __future__ import annotations

import datetime as dt
import functools
import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from genaiops_dagster.google_cloud.bookkeeping import bookkeeping
from genaiops_dagster.google_cloud.patience import try_again

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud import bigquery

    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
    from genaiops_dagster.records.clock import Clock

T = TypeVar("T")

_PARAMETER_TYPES: list[tuple[type, str]] = [  # bool before int, datetime before date
    (bool, "BOOL"),
    (int, "INT64"),
    (float, "FLOAT64"),
    (dt.datetime, "TIMESTAMP"),
    (dt.date, "DATE"),
    (str, "STRING"),
]

_STREAMED_ROWS = 500  # what the documentation of insertAll recommends
_STREAMING_SECONDS = 15.0  # who streams tries again later, rather than wait
_YOUNG = dt.timedelta(minutes=30)  # three times as long as rows were reported to be lost

_BUSY_REASONS = {"rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded"}
_BUSY_MESSAGES = ("could not serialize access to table", "too many dml statements outstanding")
"""How BigQuery refuses a statement, undone, where others change the same table.

Source: https://cloud.google.com/bigquery/docs/data-manipulation-language (conflicts, queued DML).
The client itself does not try these again (google.cloud.bigquery.retry, 3.47).
"""


@dataclass(frozen=True)
class Column:
    """A table column: BigQuery type, what it holds, and `REQUIRED`, `NULLABLE` or `REPEATED`."""

    name: str
    type: str
    description: str
    mode: str = "NULLABLE"


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        name: Table name in the dataset.
        description: What a row is.
        columns: Columns, in order.
        keys: Columns that identify a row; writing a row again replaces it.
        partition: TIMESTAMP or DATE column by whose day the table is partitioned.
        clustering: Columns by which a partition is sorted.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    partition: str
    clustering: tuple[str, ...] = field(default=("use_case",))


@dataclass(frozen=True)
class QueryEstimate:
    """The result of a dry run of a query.

    Attributes:
        bytes: How many bytes it would read, which is what is billed.
        columns: BigQuery types of the result, by name.
    """

    bytes: int
    columns: dict[str, str]


@dataclass(frozen=True)
class StoredTable:
    """A table or view that the dataset has: its name, its columns and its size in bytes."""

    name: str
    columns: tuple[str, ...]
    bytes: int
    is_view: bool


class Warehouse:
    """The dataset in which this project keeps its result tables.

    Args:
        connect: Gives the BigQuery client; called on first use.
        dataset: Dataset name, in the client's project. It and its tables are created when
            BigQuery says that they are not there; where they are, no right to create is needed.
        clock: Waits where BigQuery asks for patience.
    """

    def __init__(
        self,
        connect: Callable[[], bigquery.Client],
        dataset: str,
        clock: Clock,
    ) -> None:
        self._connect = connect
        self.dataset = dataset
        self._clock = clock
        self._has_created = False
        self._settled: set[str] = set()

    @functools.cached_property
    def _client(self) -> bigquery.Client:
        return self._connect()

    @classmethod
    def connect(cls, settings: GoogleCloudSettings, clock: Clock) -> Warehouse:
        """The dataset of result tables, with a client of its own."""

        def connect() -> bigquery.Client:
            from google.cloud import bigquery

            return bigquery.Client(settings.project, location=settings.bigquery_location)

        return cls(connect, settings.dataset, clock)

    def table_id(self, table: str) -> str:
        """`project.dataset.table`."""
        return f"{self._client.project}.{self.dataset}.{table}"

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        maximum_bytes_billed: int | None = None,
    ) -> bigquery.table.RowIterator:
        """Rows of a query, fetched page by page.

        Args:
            sql: Standard SQL with `@name` parameters.
            parameters: Values by name; a list is an ARRAY.
            maximum_bytes_billed: The query fails, unbilled, if it would read more.
        """
        config = _job_config(parameters, maximum_bytes_billed)
        return self._patiently(lambda: self._client.query(sql, job_config=config).result())

    def estimate(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        location: str | None = None,
    ) -> QueryEstimate:
        """A dry run: what a query would read and return, free of charge.

        Args:
            sql: Standard SQL with `@name` parameters.
            parameters: Values by name; a list is an ARRAY.
            location: Where it runs; default where the dataset is.

        Source: https://cloud.google.com/bigquery/docs/running-queries#dry-run
        """
        config = _job_config(parameters)
        config.dry_run, config.use_query_cache = True, False
        job = self._client.query(sql, job_config=config, location=location)
        return QueryEstimate(
            bytes=int(job.total_bytes_processed),
            columns={field.name: field.field_type for field in job.schema or ()},
        )

    def export(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None,
        uri: str,
        *,
        maximum_bytes_billed: int,
        location: str | None = None,
    ) -> int:
        """Write the result of a query to Parquet objects; how many bytes were billed.

        Args:
            sql: Standard SQL with `@name` parameters; one SELECT.
            parameters: Values by name; a list is an ARRAY.
            uri: `gs://` address with one `*`, which becomes the number of each file.
            maximum_bytes_billed: The query fails, unbilled, if it would read more.
            location: Where it runs; default where the dataset is.

        Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements
        """
        statement = (
            f"EXPORT DATA OPTIONS (uri = '{uri}', format = 'PARQUET', overwrite = true) AS\n"
            f"{sql.strip().rstrip(';')}\n"
        )
        job = self._client.query(
            statement,
            job_config=_job_config(parameters, maximum_bytes_billed),
            location=location,
        )
        job.result()
        return int(job.total_bytes_billed or 0)

    def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Rows of a query as dictionaries."""
        return (dict(row) for row in self.query(sql, parameters))

    def head(self, table: str, rows: int) -> list[dict[str, Any]]:
        """The first rows of a table, `project.dataset.table`; free of charge.

        Source: https://cloud.google.com/bigquery/docs/managing-table-data#browse-table
        """
        return [dict(row) for row in self._client.list_rows(table, max_results=rows)]

    def scan(self, table: str) -> Iterator[dict[str, Any]]:
        """All rows of a table, `project.dataset.table`, page by page; free of charge."""
        return (dict(row) for row in self._client.list_rows(table))

    def load_json_lines(self, table: str, lines: bytes, columns: Mapping[str, str]) -> str:
        """Make a table of the dataset hold these JSON lines and nothing else; its full id.

        Args:
            table: Name.
            lines: JSON objects, one a line.
            columns: BigQuery types by name.
        """
        from google.cloud import bigquery

        config = bigquery.LoadJobConfig(
            schema=[bigquery.SchemaField(name, kind) for name, kind in columns.items()],
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        )
        target = self.table_id(table)
        self._load(
            lambda job_id: self._client.load_table_from_file(
                io.BytesIO(lines), target, size=len(lines), job_config=config, job_id=job_id
            )
        )
        return target

    def tables(self) -> list[StoredTable]:
        """All tables and views of the dataset, by name; none if there is no such dataset."""
        from google.api_core.exceptions import NotFound

        try:
            listed = [item.table_id for item in self._client.list_tables(self.dataset)]
        except NotFound:
            return []
        return [
            StoredTable(
                name,
                tuple(field.name for field in found.schema),
                int(found.num_bytes or 0),
                found.table_type != "TABLE",
            )
            for name in sorted(listed)
            if (found := self._find(name))
        ]

    def delete_table(self, table: str) -> None:
        """Remove a table; one that is gone already is not an error."""
        self._client.delete_table(self.table_id(table), not_found_ok=True)

    def delete_rows(self, table: str, where: Mapping[str, Any]) -> None:
        """Remove the rows `where` these columns have these values; rows of a table that is gone
        are not an error.

        Raises:
            google.cloud.exceptions.GoogleCloudError: the rows cannot be removed, as those that
                were streamed within the last half hour.
        """
        self.query(_delete_sql(self.table_id(table), where), where)

    def exists(self, table: str) -> bool:
        """Whether the dataset has such a table."""
        return self._find(table) is not None

    def ensure_table(self, table: Table) -> str:
        """Create the table, and its dataset, where they are missing; the table's full id."""
        from google.cloud import bigquery

        if self._find(table.name) is None:
            target = bigquery.Table(self.table_id(table.name), schema=_schema(table))
            target.description = table.description
            target.time_partitioning = bigquery.TimePartitioning(field=table.partition)
            target.clustering_fields = list(table.clustering)
            self._create(target)
        return self.table_id(table.name)

    def ensure_view(self, name: str, sql: str, description: str) -> str:
        """Create a view, or bring it to `sql` where it is another query; the view's full id."""
        from google.cloud import bigquery

        view = bigquery.Table(self.table_id(name))
        view.view_query, view.description = sql, description
        found = self._find(name) or self._create(view)
        if found.view_query != sql:
            self._client.update_table(view, ["view_query", "description"])
        return self.table_id(name)

    def _find(self, table: str) -> bigquery.Table | None:
        from google.api_core.exceptions import NotFound

        try:
            return self._client.get_table(self.table_id(table))
        except NotFound:
            return None

    def _create(self, table: bigquery.Table) -> bigquery.Table:
        """Create a table or view that was not found, or find what somebody else just created."""
        return self._patiently(
            lambda: self._client.create_table(table, exists_ok=True), self._create_dataset
        )

    def _create_dataset(self) -> None:
        self._client.create_dataset(self.dataset, exists_ok=True)

    def _patiently(self, do: Callable[[], T], create: Callable[[], object] | None = None) -> T:
        """What `do` returns, tried again where BigQuery was busy, or what it needs was just made.

        Args:
            do: Sends the request; one that failed has changed nothing.
            create: Creates what `do` did not find; called once, and only then.

        Raises:
            google.cloud.exceptions.GoogleCloudError: the last failure.
        """
        from google.api_core.exceptions import NotFound

        missing = [create] if create else []

        def attempt() -> T:
            try:
                return do()
            except NotFound:
                if not missing:
                    raise
                missing.pop()()
                self._has_created = True
                return do()

        return try_again(attempt, self._is_passing, self._clock.sleep)

    def _is_passing(self, error: BaseException) -> bool:
        """Whether a failed request may succeed soon.

        A table may stay unknown to other parts of BigQuery for some seconds after its creation.
        """
        from google.api_core.exceptions import GoogleAPICallError, NotFound

        if isinstance(error, NotFound):
            return self._has_created
        return isinstance(error, GoogleAPICallError) and _is_busy(error)

    def append(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows that come a few at a time and never change.

        They are streamed, where the keys of a row are its insert id, by which BigQuery knows a row
        that is sent again soon; into a table younger than half an hour they are merged, because
        streamed rows may be lost there without an error.

        Sources: https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery;
        https://github.com/googleapis/google-cloud-go/issues/975 (rows lost up to ten minutes after
        a table was created).

        Raises:
            google.cloud.exceptions.GoogleCloudError: the rows were not taken.
            ValueError: a row does not fit the table.
        """
        from google.api_core.exceptions import NotFound

        records = [dict(row) for row in rows]
        for start in range(0, len(records), _STREAMED_ROWS):
            part = records[start : start + _STREAMED_ROWS]
            if self._takes_streams(table):
                try:
                    self._stream(table, part)
                    continue
                except NotFound:
                    self._settled.discard(table.name)
            self.merge(table, part)

    def _takes_streams(self, table: Table) -> bool:
        """Whether the table has been there for so long that no streamed row is lost."""
        if table.name not in self._settled:
            found = self._find(table.name)
            if found is None or self._clock.now() - found.created < _YOUNG:
                return False
            self._settled.add(table.name)
        return True

    def _stream(self, table: Table, rows: list[dict[str, Any]]) -> None:
        from google.cloud.bigquery import DEFAULT_RETRY

        target = self.table_id(table.name)
        ids = ["/".join(str(row[key]) for key in table.keys) for row in rows]
        patience = DEFAULT_RETRY.with_timeout(_STREAMING_SECONDS)
        errors = self._client.insert_rows_json(target, rows, row_ids=ids, retry=patience)
        if errors:
            raise ValueError(f"{target}: {len(errors)} rows were refused: {errors[:3]}")

    def merge(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> int:
        """Insert rows, or replace those with the same keys; how many rows were given.

        The rows are loaded into a staging table first and merged by one statement: a failure
        leaves the target as it was, and writing the same rows again changes nothing.
        """
        records = [dict(row) for row in rows]
        if records:
            target = self.table_id(table.name)
            with self._staged(table, records) as staging:
                self._change(table, _merge_sql(table, target, staging), {})
        return len(records)

    def rehearse_merge(self, table: Table) -> bool:
        """A dry run of `merge`, free of charge; False if the table does not exist yet.

        Raises:
            google.cloud.exceptions.GoogleCloudError: rows could not be merged.
        """
        from google.api_core.exceptions import NotFound

        target = self.table_id(table.name)
        try:
            self.estimate(_merge_sql(table, target, target))
        except NotFound:
            return False
        return True

    def replace(
        self, table: Table, rows: Iterable[Mapping[str, Any]], where: Mapping[str, Any]
    ) -> int:
        """Make `rows` all that the table has `where` these columns have these values.

        One statement takes the old rows out and the new ones in: a failure leaves the table as it
        was, and to replace with the same rows changes nothing.

        Args:
            table: The table that holds the rows.
            rows: The new rows, none of which may be elsewhere than `where` says.
            where: Values by column; not empty.

        Returns:
            How many rows were given.
        """
        records = [dict(row) for row in rows]
        target = self.table_id(table.name)
        if not records:
            self._change(table, _delete_sql(target, where), where)
            return 0
        with self._staged(table, records) as staging:
            self._change(table, _replace_sql(table, target, staging, where), where)
        return len(records)

    def _change(self, table: Table, sql: str, parameters: Mapping[str, Any]) -> None:
        """Run a statement that changes a table, which is created if it is missing."""
        config = _job_config(parameters)
        self._patiently(
            lambda: self._client.query(sql, job_config=config).result(),
            lambda: self.ensure_table(table),
        )

    def _load(self, start: Callable[[str], bigquery.LoadJob]) -> None:
        """Start a load job under an id of its own, and wait for it.

        Where the answer to starting it was lost, the client starts it again, and the service
        refuses, because it exists. With queries, the client handles that itself.
        """
        from google.api_core.exceptions import Conflict

        def load() -> None:
            job_id = uuid.uuid4().hex
            try:
                job = start(job_id)
            except Conflict:
                job = self._client.get_job(job_id)
            job.result()

        self._patiently(load, self._create_dataset)

    @contextmanager
    def _staged(self, table: Table, records: list[dict[str, Any]]) -> Iterator[str]:
        """A table of its own that holds `records` until the block ends; its full id."""
        from google.cloud import bigquery

        staging = self.table_id(f"{table.name}_staging_{uuid.uuid4().hex}")
        config = bigquery.LoadJobConfig(schema=_schema(table), write_disposition="WRITE_EMPTY")
        try:
            self._load(
                lambda job_id: self._client.load_table_from_json(
                    records, staging, job_config=config, job_id=job_id
                )
            )
            yield staging
        finally:
            with bookkeeping("The removal of a staging table", f"Remove {staging} yourself."):
                self._client.delete_table(staging, not_found_ok=True)


def _is_busy(error: GoogleAPICallError) -> bool:
    reasons = {item.get("reason") for item in error.errors if isinstance(item, Mapping)}
    message = (error.message or "").lower()
    return bool(reasons & _BUSY_REASONS) or any(text in message for text in _BUSY_MESSAGES)


def _job_config(
    parameters: Mapping[str, Any] | None, maximum_bytes_billed: int | None = None
) -> Any:
    from google.cloud import bigquery

    config = bigquery.QueryJobConfig(
        query_parameters=[_parameter(name, value) for name, value in (parameters or {}).items()]
    )
    if maximum_bytes_billed is not None:
        config.maximum_bytes_billed = maximum_bytes_billed
    return config


def _parameter(name: str, value: Any) -> Any:
    from google.cloud import bigquery

    if isinstance(value, Sequence) and not isinstance(value, str):
        return bigquery.ArrayQueryParameter(name, _type_of(value[0]) if value else "STRING", value)
    return bigquery.ScalarQueryParameter(name, _type_of(value), value)


def _type_of(value: Any) -> str:
    for python_type, name in _PARAMETER_TYPES:
        if isinstance(value, python_type):
            return name
    raise TypeError(f"no BigQuery parameter type for {type(value).__name__}")


def _schema(table: Table) -> list[Any]:
    from google.cloud import bigquery

    return [
        bigquery.SchemaField(c.name, c.type, mode=c.mode, description=c.description)
        for c in table.columns
    ]


def _replace_sql(table: Table, target: str, staging: str, where: Mapping[str, Any]) -> str:
    """The statement of `replace`, whose search condition is never true.

    Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax (MERGE).
    """
    names = [column.name for column in table.columns]
    columns, values = ", ".join(names), ", ".join(f"staged.{name}" for name in names)
    condition = " AND ".join(f"target.{name} = @{name}" for name in where)
    return f"""
        MERGE `{target}` AS target USING `{staging}` AS staged ON FALSE
        WHEN NOT MATCHED BY SOURCE AND {condition} THEN DELETE
        WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})
    """  # noqa: S608 - names come from Table constants and from our own callers


def _delete_sql(target: str, where: Mapping[str, Any]) -> str:
    condition = " AND ".join(f"{name} = @{name}" for name in where)
    return f"DELETE FROM `{target}` WHERE {condition}"  # noqa: S608 - as in `_replace_sql`


def _merge_sql(table: Table, target: str, staging: str) -> str:
    names = [column.name for column in table.columns]
    match = " AND ".join(f"target.{key} = staged.{key}" for key in table.keys)
    update = ", ".join(f"{name} = staged.{name}" for name in names if name not in table.keys)
    columns, values = ", ".join(names), ", ".join(f"staged.{name}" for name in names)
    when_matched = f"WHEN MATCHED THEN UPDATE SET {update}" if update else ""
    return f"""
        MERGE `{target}` AS target USING `{staging}` AS staged ON {match}
        {when_matched}
        WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})
    """  # noqa: S608 - names come from Table constants, never from outside
