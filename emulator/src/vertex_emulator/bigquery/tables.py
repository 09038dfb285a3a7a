"""`tables` of the REST API."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from vertex_emulator.bigquery import catalog, schemas, sizes
from vertex_emulator.bigquery.catalog import Table, TableName
from vertex_emulator.bigquery.database import Cursor, Database, rows
from vertex_emulator.bigquery.http import (
    Call,
    Endpoints,
    Handler,
    chosen,
    object_at,
    page_answer,
    text_at,
)
from vertex_emulator.bigquery.resources import changed_table, check_etag, new_table
from vertex_emulator.bigquery.sql.views import view_fields
from vertex_emulator.errors import ApiError

_PATH = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables"
_LISTED = (
    *("kind", "id", "tableReference", "type", "labels", "friendlyName"),
    *("timePartitioning", "rangePartitioning", "clustering", "creationTime", "view"),
)


def name_in(call: Call) -> TableName:
    """The table that a path names."""
    return TableName(call.path["project"], call.path["dataset"], call.path["table"])


def shown_table(cursor: Cursor, table: Table) -> dict[str, Any]:
    """The table as an answer gives it: with its size, tag and address."""
    name = table.name
    link = f"/bigquery/v2/projects/{name.project}/datasets/{name.dataset}/tables/{name.table}"
    shown = {**table.document, "etag": catalog.etag_of(table.document), "selfLink": link}
    if table.source is not None:
        count = rows(cursor, f"SELECT count(*) FROM {table.source}")[0][0]
        size = sizes.table_bytes(cursor, table)
        shown |= {
            "numRows": str(count),
            "numBytes": str(size),
            "numTotalLogicalBytes": str(size),
            "numLongTermBytes": "0",
        }
    return shown


def routes(database: Database, endpoints: Endpoints) -> list[Route]:
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/tables."""

    def insert(call: Call) -> dict[str, Any]:
        table = text_at(object_at(call.body, "tableReference"), "tableId")
        name = TableName(call.path["project"], call.path["dataset"], table)
        document = changed_table(new_table(name, {}), call.body)
        with database.writing() as cursor:
            if "view" in document:
                query = text_at(document["view"], "query")
                document["view"]["useLegacySql"] = False
                document["schema"] = {"fields": view_fields(cursor, name, query, document)}
            return shown_table(cursor, catalog.insert_table(cursor, name, document))

    def get(call: Call) -> dict[str, Any]:
        with database.reading() as cursor:
            return shown_table(cursor, catalog.get_table(cursor, name_in(call)))

    def list_all(call: Call) -> dict[str, Any]:
        with database.reading() as cursor:
            tables = catalog.list_tables(cursor, call.path["project"], call.path["dataset"])
        answer = page_answer(
            call, "tableList", "tables", tables, lambda table: chosen(table.document, _LISTED)
        )
        return {**answer, "totalItems": len(tables)}

    def change(call: Call, *, replace: bool) -> dict[str, Any]:
        name = name_in(call)
        with database.writing() as cursor:
            table = catalog.get_table(cursor, name)
            check_etag(call.headers.get("if-match"), table.document)
            document = changed_table(table.document, call.body, replace=replace)
            if table.source is None:
                if "view" not in document:
                    raise ApiError(400, f"{name} is a view: its query cannot be removed.")
                query = text_at(document["view"], "query")
                document["schema"] = {"fields": view_fields(cursor, name, query, document)}
            else:
                if "view" in document:
                    raise ApiError(400, f"{name} is a table and cannot become a view.")
                table = schemas.change_columns(cursor, table, document["schema"]["fields"])
            catalog.update_table(cursor, name, document)
            return shown_table(cursor, catalog.get_table(cursor, name))

    def delete(call: Call) -> None:
        with database.writing() as cursor:
            catalog.delete_table(cursor, name_in(call))

    handlers: dict[str, Handler] = {
        "insert": insert,
        "list": list_all,
        "get": get,
        "delete": delete,
    }
    return endpoints.resource_routes(_PATH, "table", handlers, change)
