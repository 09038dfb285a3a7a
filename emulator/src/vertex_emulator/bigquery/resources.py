"""REST resources of datasets and tables: made and changed by requests, completed for answers.

https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset and
https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#Table
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_emulator.bigquery.catalog import (
    Document,
    TableName,
    etag_of,
    modified,
    now_ms,
)
from vertex_emulator.bigquery.http import refuse
from vertex_emulator.bigquery.types import Schema, fields_of
from vertex_emulator.errors import ApiError

_DATASET_FIELDS = (
    *("friendlyName", "description", "labels", "defaultTableExpirationMs", "access", "location"),
    *(
        "defaultPartitionExpirationMs",
        "isCaseInsensitive",
        "maxTimeTravelHours",
        "defaultCollation",
    ),
    *("storageBillingModel", "resourceTags", "defaultRoundingMode"),
)
_TABLE_FIELDS = (
    *("friendlyName", "description", "labels", "schema", "expirationTime", "view"),
    *("timePartitioning", "rangePartitioning", "clustering", "requirePartitionFilter"),
    *("resourceTags", "maxStaleness", "tableConstraints"),
)
_REFUSED_DATASETS = {
    "isCaseInsensitive": "datasets whose names disregard case",
    "defaultCollation": "collations",
    "defaultRoundingMode": "rounding modes",
    "defaultEncryptionConfiguration": "customer-managed encryption keys",
    "externalDatasetReference": "external datasets",
    "linkedDatasetSource": "linked datasets",
}
# Kinds of tables that hold no rows here.
_REFUSED_TABLES = {
    "materializedView": "materialized views",
    "externalDataConfiguration": "external tables",
    "model": "models",
    "snapshotDefinition": "table snapshots",
    "cloneDefinition": "table clones",
    "biglakeConfiguration": "BigLake tables",
    "encryptionConfiguration": "customer-managed encryption keys",
    "defaultCollation": "collations",
    "defaultRoundingMode": "rounding modes",
}
_REFUSED_FIELDS = {
    "defaultValueExpression": "default values of columns",
    "collation": "collations",
    "roundingMode": "rounding modes",
}
# https://cloud.google.com/bigquery/docs/schemas#flexible-column-names
_FORBIDDEN = frozenset('!"$()*,./;?@[\\]^`{}~')
# The names that the API answers with, whichever a request used.
_LEGACY_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_MODES = ("NULLABLE", "REQUIRED", "REPEATED")


def new_dataset(project: str, dataset: str) -> Document:
    """A dataset with nothing but its name."""
    now = str(now_ms())
    return {
        "kind": "bigquery#dataset",
        "id": f"{project}:{dataset}",
        "datasetReference": {"projectId": project, "datasetId": dataset},
        "location": "US",
        "creationTime": now,
        "lastModifiedTime": now,
        "type": "DEFAULT",
    }


def changed_dataset(
    document: Document, body: Mapping[str, Any], *, replace: bool = False
) -> Document:
    """The dataset with the fields that a request gives; `replace` forgets those it leaves out."""
    refuse(body, _REFUSED_DATASETS)
    return _changed(document, body, _DATASET_FIELDS, replace)


def shown_dataset(document: Document) -> Document:
    """The dataset as an answer gives it."""
    project = document["datasetReference"]["projectId"]
    dataset = document["datasetReference"]["datasetId"]
    link = f"/bigquery/v2/projects/{project}/datasets/{dataset}"
    return {**document, "etag": etag_of(document), "selfLink": link}


def new_table(name: TableName, schema: Document) -> Document:
    """A table with nothing but its name and schema (`{"fields": [...]}`)."""
    now = str(now_ms())
    return {
        "kind": "bigquery#table",
        "id": str(name),
        "tableReference": name.reference(),
        "schema": {"fields": checked_schema(schema.get("fields") or [])},
        "type": "TABLE",
        "location": "US",
        "creationTime": now,
        "lastModifiedTime": now,
    }


def changed_table(
    document: Document, body: Mapping[str, Any], *, replace: bool = False
) -> Document:
    """The table with the fields that a request gives; `replace` forgets those it leaves out.

    Raises:
        ApiError: 400 if the schema, partitioning or clustering is wrong, or of a kind not served.
    """
    refuse(body, _REFUSED_TABLES)
    document = _changed(document, body, _TABLE_FIELDS, replace)
    schema = document.get("schema") or {}
    document["schema"] = {"fields": checked_schema(schema.get("fields") or [])}
    if "view" in document:
        document["type"] = "VIEW"
        if document["view"].get("useLegacySql"):
            raise ApiError(400, "The emulator does not serve legacy SQL.")
    else:
        document["type"] = "TABLE"
        check_layout(document)
    return document


def _changed(
    document: Document, body: Mapping[str, Any], fields: tuple[str, ...], replace: bool
) -> Document:
    changed = dict(document)
    for field in fields:
        if field in body or (replace and field not in ("location", "schema")):
            changed[field] = body.get(field)
    # Labels set to null go one by one.
    if isinstance(labels := changed.get("labels"), dict):
        if not replace:
            labels = {**(document.get("labels") or {}), **labels}
        changed["labels"] = {key: value for key, value in labels.items() if value is not None}
    elif labels is not None:
        raise ApiError(400, "labels must be an object.")
    changed["lastModifiedTime"] = modified(document)
    return {key: value for key, value in changed.items() if value is not None}


def checked_schema(fields: Any) -> Schema:
    """Schema fields with the mode filled in.

    Raises:
        ApiError: 400 if a field is malformed or of a type that the emulator does not have.
    """
    if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
        raise ApiError(400, "schema.fields must be a list of objects.")
    fields_of(fields)
    checked = []
    for field in fields:
        if len(field["name"]) > 300 or set(field["name"]) & _FORBIDDEN:
            raise ApiError(400, f"Invalid field name {field['name'][:300]!r}.")
        mode = str(field.get("mode") or "NULLABLE").upper()
        if mode not in _MODES:
            raise ApiError(400, f"Invalid mode {mode!r} of field {field['name']}.")
        refuse(field, _REFUSED_FIELDS)
        type_name = field["type"].upper()
        entry = {**field, "mode": mode, "type": _LEGACY_NAMES.get(type_name, type_name)}
        if field.get("fields"):
            entry["fields"] = checked_schema(field["fields"])
        checked.append(entry)
    return checked


def check_layout(document: Document) -> None:
    """Refuse partitioning and clustering that do not fit the schema.

    Raises:
        ApiError: 400.
    """
    types = {field["name"].lower(): field for field in document["schema"]["fields"]}
    time = document.get("timePartitioning")
    if time is not None:
        if time.get("type") not in ("DAY", "HOUR", "MONTH", "YEAR"):
            raise ApiError(400, "timePartitioning.type must be DAY, HOUR, MONTH or YEAR.")
        if "field" in time:
            column = types.get(str(time["field"]).lower())
            if column is None:
                raise ApiError(
                    400,
                    "The field specified for partitioning cannot be found in the schema:"
                    f" {time['field']}",
                )
            if column["type"] not in ("DATE", "TIMESTAMP", "DATETIME"):
                raise ApiError(400, f"Cannot partition by {column['name']} ({column['type']}).")
    ranges = document.get("rangePartitioning")
    if ranges is not None:
        column = types.get(str(ranges.get("field")).lower())
        if column is None or column["type"] not in ("INTEGER", "INT64"):
            raise ApiError(400, "rangePartitioning.field must be an INTEGER column.")
    for name in (document.get("clustering") or {}).get("fields") or ():
        if str(name).lower() not in types:
            raise ApiError(
                400, f"The field specified for clustering cannot be found in the schema: {name}"
            )


def check_etag(wanted: str | None, document: Document) -> None:
    """Refuse a change whose `If-Match` is not the tag of the resource.

    Raises:
        ApiError: 412.
    """
    if wanted not in (None, "*", etag_of(document)):
        raise ApiError(412, "Precondition Failed")
