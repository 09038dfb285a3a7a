"""Load jobs: files of JSON lines, CSV or Parquet into a table, all of them or nothing.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from vertex_emulator.bigquery import catalog, resources, schemas
from vertex_emulator.bigquery.catalog import Document, Table, TableName
from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.files import READERS, FileReader, LoadOptions
from vertex_emulator.bigquery.http import refuse
from vertex_emulator.bigquery.outcomes import Outcome
from vertex_emulator.bigquery.types import Schema
from vertex_emulator.errors import ApiError
from vertex_emulator.storage.service import StorageService

_DISPOSITIONS = ("WRITE_APPEND", "WRITE_TRUNCATE", "WRITE_EMPTY", "WRITE_TRUNCATE_DATA")
_REFUSED = {
    "hivePartitioningOptions": "hive partitioning",
    "columnNameCharacterMap": "column name character maps",
    "dateFormat": "date formats of files",
    "datetimeFormat": "date formats of files",
    "timeFormat": "date formats of files",
    "timestampFormat": "date formats of files",
    "timeZone": "time zones of files",
    "jsonExtension": "GeoJSON",
    "nullMarkers": "several null markers",
    "projectionFields": "projections of fields",
    "referenceFileSchemaUri": "schemas from reference files",
    "sourceColumnMatch": "column matching of CSV files",
    "destinationEncryptionConfiguration": "customer-managed encryption keys",
}


def load(
    cursor: Cursor,
    storage: StorageService,
    configuration: Mapping[str, Any],
    upload: Path | None,
) -> Outcome:
    """Run a load job inside the writing transaction of `cursor`.

    Args:
        cursor: Connection of the transaction; an error abandons the whole load.
        storage: Where the `sourceUris` are.
        configuration: `configuration.load` of the job.
        upload: The uploaded file, when the job came with its data.

    Returns:
        What was loaded, in the form of `statistics.load`.

    Raises:
        ApiError: 400 if the configuration is wrong or a row does not fit; 404 if a file, or the
            table with CREATE_NEVER, or its dataset does not exist.
    """
    name = destination_of(configuration)
    options = LoadOptions.from_configuration(configuration)
    reader_type = READERS.get(options.format)
    if reader_type is None:
        raise ApiError(400, f"The emulator does not load files of the format {options.format!r}.")
    refuse(configuration, _REFUSED)
    with ExitStack() as stack:
        files = _files(storage, configuration, upload, stack)
        readers = [reader_type(file, label, options) for label, file in files]
        table = _prepared(cursor, name, configuration, readers)
        bad: list[str] = []
        count = 0
        for reader in readers:
            count += reader.append(cursor, str(table.source), table.document["schema"], bad)
        size = sum(_size(file) for _, file in files)
    if len(bad) > options.maximum_bad:
        raise ApiError(400, bad[0])
    catalog.touch(cursor, table)
    return Outcome(
        {
            "inputFiles": str(len(files)),
            "inputFileBytes": str(size),
            "outputRows": str(count),
            "outputBytes": str(size),
            "badRecords": str(len(bad)),
        },
        destination=name.reference(),
    )


def destination_of(configuration: Mapping[str, Any]) -> TableName:
    """The table that a job's configuration writes to.

    Raises:
        ApiError: 400 if it names no table.
    """
    reference = configuration.get("destinationTable")
    keys = ("projectId", "datasetId", "tableId")
    if not isinstance(reference, Mapping) or not all(
        isinstance(reference.get(key), str) for key in keys
    ):
        raise ApiError(400, "Required parameter is missing: destinationTable", reason="required")
    return TableName(*(reference[key] for key in keys))


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _files(
    storage: StorageService,
    configuration: Mapping[str, Any],
    upload: Path | None,
    stack: ExitStack,
) -> list[tuple[str, BinaryIO]]:
    if upload is not None:
        return [("uploaded file", stack.enter_context(upload.open("rb")))]
    uris = configuration.get("sourceUris")
    if not isinstance(uris, list) or not uris:
        raise ApiError(400, "Required parameter is missing: sourceUris", reason="required")
    found: list[str] = []
    for uri in uris:
        if not isinstance(uri, str) or not uri.startswith("gs://"):
            raise ApiError(400, f"Source URI must be a Google Cloud Storage location: {uri}")
        if "*" not in uri:
            found.append(uri)
            continue
        prefix, _, suffix = uri.partition("*")
        matches = [each for each in storage.list_uris(prefix) if each.endswith(suffix)]
        if not matches:
            raise ApiError(404, f"Not found: URI {uri}")
        found += matches
    return [(uri, stack.enter_context(storage.open(uri))) for uri in found]


def _prepared(
    cursor: Cursor,
    name: TableName,
    configuration: Mapping[str, Any],
    readers: Sequence[FileReader],
) -> Table:
    """The table to append to: created, emptied or widened as the job says."""
    given = (configuration.get("schema") or {}).get("fields")
    existing = catalog.find_table(cursor, name)

    def detected() -> Schema:
        return readers[0].schema()

    return prepared_table(cursor, name, configuration, existing, given, detected)


def prepared_table(
    cursor: Cursor,
    name: TableName,
    configuration: Mapping[str, Any],
    existing: Table | None,
    given: Schema | None,
    detected: Callable[[], Schema] = list,
    *,
    default_disposition: str = "WRITE_APPEND",
) -> Table:
    """The table that a job writes to, as its dispositions say.

    Args:
        cursor: Connection in a writing transaction.
        name: The table.
        configuration: Part of the job with the dispositions and the table's layout.
        existing: The table as it is.
        given: Schema that the job gives.
        detected: The schema of the data, where the job gives none.
        default_disposition: `writeDisposition` when the job has none.

    Raises:
        ApiError: 404 for no table and CREATE_NEVER; 409 if the table has rows and WRITE_EMPTY;
            400 if the schema does not fit.
    """
    write = configuration.get("writeDisposition") or default_disposition
    if write not in _DISPOSITIONS:
        raise ApiError(400, f"Invalid writeDisposition {write!r}.")
    layout = {
        key: configuration[key]
        for key in ("timePartitioning", "rangePartitioning", "clustering")
        if configuration.get(key)
    }
    layout |= {
        key: value
        for key, value in (configuration.get("destinationTableProperties") or {}).items()
        if key in ("description", "friendlyName", "labels")
    }
    if existing is None:
        if configuration.get("createDisposition") == "CREATE_NEVER":
            catalog.get_dataset(cursor, name.project, name.dataset)
            raise ApiError(404, f"Not found: Table {name}")
        schema = {"fields": given or detected()}
        document = resources.changed_table(resources.new_table(name, schema), layout)
        return catalog.insert_table(cursor, name, document)
    if existing.source is None:
        raise ApiError(400, f"{name} is a view: no rows can be written to it.")
    if write == "WRITE_EMPTY" and _has_rows(cursor, existing):
        raise ApiError(409, f"Already Exists: Table {name}", reason="duplicate")
    if write == "WRITE_TRUNCATE":
        return _replaced(cursor, existing, given or detected(), layout)
    if write == "WRITE_TRUNCATE_DATA":
        cursor.execute(f"DELETE FROM {existing.source}")
    return _widened(cursor, existing, configuration, given)


def _has_rows(cursor: Cursor, table: Table) -> bool:
    return bool(cursor.execute(f"SELECT 1 FROM {table.source} LIMIT 1").fetchall())


def _replaced(cursor: Cursor, table: Table, schema: Schema, layout: Document) -> Table:
    """The table with another schema and no rows."""
    changes = {**layout, "schema": {"fields": schema}}
    document = resources.changed_table(table.document, changes)
    catalog.delete_table(cursor, table.name)
    return catalog.insert_table(cursor, table.name, document)


def _widened(
    cursor: Cursor, table: Table, configuration: Mapping[str, Any], given: Schema | None
) -> Table:
    if not table.fields:
        return _replaced(cursor, table, given or [], {}) if given else table
    if given is None:
        return table
    wanted = resources.checked_schema(given)
    known = {field["name"].lower(): field for field in table.document["schema"]["fields"]}
    added = [field for field in wanted if field["name"].lower() not in known]
    options = configuration.get("schemaUpdateOptions") or ()
    if added and "ALLOW_FIELD_ADDITION" not in options:
        raise ApiError(
            400,
            f"Provided Schema does not match Table {table.name}. Cannot add fields"
            f" (field: {added[0]['name']})",
        )
    merged = [*table.document["schema"]["fields"], *added]
    changed = {field["name"].lower(): field for field in wanted}
    compared = [
        {**field, "type": changed[field["name"].lower()]["type"]}
        if field["name"].lower() in changed
        and changed[field["name"].lower()]["type"] not in ("RECORD", "STRUCT")
        else field
        for field in merged
    ]
    schemas.change_columns(cursor, table, compared)
    document = resources.changed_table(table.document, {"schema": {"fields": merged}})
    catalog.update_table(cursor, table.name, document)
    return catalog.get_table(cursor, table.name)
