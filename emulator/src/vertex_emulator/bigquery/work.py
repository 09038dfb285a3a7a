"""The work of each kind of job: query, load, extract and copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_emulator.bigquery import catalog, extract, load, parameters
from vertex_emulator.bigquery.catalog import TableName
from vertex_emulator.bigquery.database import Cursor, Database
from vertex_emulator.bigquery.http import object_at, refuse, text_at
from vertex_emulator.bigquery.jobs import Job, Work, keep
from vertex_emulator.bigquery.outcomes import Outcome, ResultRows
from vertex_emulator.bigquery.query import QueryRequest, Runner
from vertex_emulator.bigquery.sql.options import ExportOptions
from vertex_emulator.bigquery.types import quoted, schema_of
from vertex_emulator.errors import ApiError
from vertex_emulator.storage.service import StorageService

_REFUSED = {
    "tableDefinitions": "external tables",
    "userDefinedFunctionResources": "functions in JavaScript",
    "connectionProperties": "sessions",
    "createSession": "sessions",
    "continuous": "continuous queries",
    "destinationEncryptionConfiguration": "customer-managed encryption keys",
}
_FORMATS = {"CSV": "CSV", "NEWLINE_DELIMITED_JSON": "JSON", "PARQUET": "PARQUET"}


def workers(database: Database, storage: StorageService) -> dict[str, Work]:
    """Runs jobs of each kind."""

    def run_query(job: Job) -> Outcome:
        runner = Runner(
            database,
            storage,
            query_request(job.key[0], job.configuration, job.document["configuration"]),
            on_cursor=job.working_on,
            before_commit=lambda cursor, outcome: keep(cursor, job, outcome),
        )
        outcome = runner.run()
        if outcome.rows is not None and job.configuration.get("destinationTable"):
            try:
                with database.writing() as cursor:
                    job.working_on(cursor)
                    outcome.destination = _store(cursor, job.configuration, outcome.rows)
                    keep(cursor, job, outcome)
            except Exception:
                database.drop_result(outcome.rows.relation)
                raise
        return outcome

    def run_load(job: Job) -> Outcome:
        with database.writing() as cursor:
            job.working_on(cursor)
            outcome = load.load(cursor, storage, job.configuration, job.upload)
            keep(cursor, job, outcome)
        return outcome

    def run_extract(job: Job) -> Outcome:
        name = _name_at(job.configuration, "sourceTable")
        with database.reading() as cursor:
            job.working_on(cursor)
            table = catalog.get_table(cursor, name)
            if table.source is None:
                raise ApiError(400, f"{name} is a view and cannot be extracted.")
            columns = ", ".join(quoted(field.name) for field in table.fields)
            written = extract.write_files(
                cursor,
                storage,
                f"SELECT {columns} FROM {table.source}",
                {},
                table.fields,
                _extract_options(job.configuration),
            )
        return Outcome({"destinationUriFileCounts": [str(written.count)]})

    def run_copy(job: Job) -> Outcome:
        with database.writing() as cursor:
            job.working_on(cursor)
            outcome = _copy(cursor, job.configuration)
            keep(cursor, job, outcome)
        return outcome

    return {"query": run_query, "load": run_load, "extract": run_extract, "copy": run_copy}


def query_request(
    project: str, configuration: Mapping[str, Any], whole: Mapping[str, Any]
) -> QueryRequest:
    """A query as `configuration.query` of a job, or the body of `jobs.query`, asks for it.

    Raises:
        ApiError: 400 if it is legacy SQL or wrong.
    """
    if configuration.get("useLegacySql") in (True, "true"):
        raise ApiError(400, "The emulator does not serve legacy SQL (useLegacySql).")
    refuse(configuration, _REFUSED)
    default = object_at(configuration, "defaultDataset")
    dataset = None
    if default.get("datasetId"):
        dataset = (str(default.get("projectId") or project), str(default["datasetId"]))
    maximum = configuration.get("maximumBytesBilled")
    return QueryRequest(
        sql=text_at(configuration, "query"),
        project=project,
        dataset=dataset,
        parameters=parameters.parsed(configuration.get("queryParameters")),
        dry_run=bool(whole.get("dryRun")),
        maximum_bytes=None if maximum is None else int(maximum),
    )


def _store(cursor: Cursor, configuration: Mapping[str, Any], rows: ResultRows) -> dict[str, Any]:
    """The rows of a query, written to the job's destination table."""
    name = load.destination_of(configuration)
    table = load.prepared_table(
        cursor,
        name,
        configuration,
        catalog.find_table(cursor, name),
        schema_of(rows.fields),
        default_disposition="WRITE_EMPTY",
    )
    _insert(cursor, table, rows)
    return name.reference()


def _insert(cursor: Cursor, table: catalog.Table, rows: ResultRows) -> None:
    names = ", ".join(quoted(field.name) for field in rows.fields)
    cursor.execute(f"INSERT INTO {table.source} ({names}) SELECT {names} FROM {rows.relation}")
    catalog.touch(cursor, catalog.get_table(cursor, table.name))


def _name_at(configuration: Mapping[str, Any], key: str) -> TableName:
    reference = object_at(configuration, key)
    return TableName(*(text_at(reference, part) for part in ("projectId", "datasetId", "tableId")))


def _extract_options(configuration: Mapping[str, Any]) -> ExportOptions:
    uris = configuration.get("destinationUris") or [configuration.get("destinationUri")]
    if len(uris) != 1 or not isinstance(uris[0], str):
        raise ApiError(400, "The emulator extracts to exactly one destination URI.")
    given = str(configuration.get("destinationFormat") or "CSV")
    if given not in _FORMATS:
        raise ApiError(400, f"The emulator does not export to the format {given!r}.")
    return ExportOptions(
        uri=uris[0],
        format=_FORMATS[given],
        overwrite=True,
        header=configuration.get("printHeader", True) not in (False, "false"),
        delimiter=str(configuration.get("fieldDelimiter") or ","),
        compression=str(configuration.get("compression") or "NONE"),
    )


def _copy(cursor: Cursor, configuration: Mapping[str, Any]) -> Outcome:
    if configuration.get("operationType", "COPY") != "COPY":
        raise ApiError(400, f"The emulator does not serve {configuration['operationType']} jobs.")
    sources = configuration.get("sourceTables") or [object_at(configuration, "sourceTable")]
    name = load.destination_of(configuration)
    for index, reference in enumerate(sources):
        source = catalog.get_table(cursor, _name_at({"sourceTable": reference}, "sourceTable"))
        if source.source is None:
            raise ApiError(400, f"{source.name} is a view and cannot be copied.")
        changes = dict(configuration)
        if index:
            changes["writeDisposition"] = "WRITE_APPEND"
        table = load.prepared_table(
            cursor,
            name,
            changes,
            catalog.find_table(cursor, name),
            source.document["schema"]["fields"],
            default_disposition="WRITE_EMPTY",
        )
        _insert(cursor, table, ResultRows(source.source, source.fields, 0))
    copied = catalog.get_table(cursor, name)
    count = cursor.execute(f"SELECT count(*) FROM {copied.source}").fetchall()[0][0]
    return Outcome({"copiedRows": str(count)}, destination=name.reference())
