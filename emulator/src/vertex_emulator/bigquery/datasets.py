"""`datasets` of the REST API."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from vertex_emulator.bigquery import catalog
from vertex_emulator.bigquery.database import Database
from vertex_emulator.bigquery.http import (
    Call,
    Endpoints,
    Handler,
    chosen,
    object_at,
    page_answer,
    text_at,
)
from vertex_emulator.bigquery.resources import (
    changed_dataset,
    check_etag,
    new_dataset,
    shown_dataset,
)

_PATH = "/bigquery/v2/projects/{project}/datasets"
_LISTED = ("id", "datasetReference", "labels", "friendlyName", "location")


def routes(database: Database, endpoints: Endpoints) -> list[Route]:
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets."""

    def insert(call: Call) -> dict[str, Any]:
        project = call.path["project"]
        dataset = text_at(object_at(call.body, "datasetReference"), "datasetId")
        document = changed_dataset(new_dataset(project, dataset), call.body)
        with database.writing() as cursor:
            catalog.insert_dataset(cursor, project, dataset, document)
        return shown_dataset(document)

    def get(call: Call) -> dict[str, Any]:
        with database.reading() as cursor:
            return shown_dataset(
                catalog.get_dataset(cursor, call.path["project"], call.path["dataset"])
            )

    def list_all(call: Call) -> dict[str, Any]:
        with database.reading() as cursor:
            documents = catalog.list_datasets(cursor, call.path["project"])
        if wanted := call.query.get("filter"):
            documents = [each for each in documents if _has_labels(each, wanted)]
        return page_answer(
            call, "datasetList", "datasets", documents, lambda document: chosen(document, _LISTED)
        )

    def change(call: Call, *, replace: bool) -> dict[str, Any]:
        project, dataset = call.path["project"], call.path["dataset"]
        with database.writing() as cursor:
            document = catalog.get_dataset(cursor, project, dataset)
            check_etag(call.headers.get("if-match"), document)
            document = changed_dataset(document, call.body, replace=replace)
            catalog.update_dataset(cursor, project, dataset, document)
        return shown_dataset(document)

    def delete(call: Call) -> None:
        with database.writing() as cursor:
            catalog.delete_dataset(
                cursor,
                call.path["project"],
                call.path["dataset"],
                delete_contents=call.flag("deleteContents"),
            )

    handlers: dict[str, Handler] = {
        "insert": insert,
        "list": list_all,
        "get": get,
        "delete": delete,
    }
    return endpoints.resource_routes(_PATH, "dataset", handlers, change)


def _has_labels(document: catalog.Document, wanted: str) -> bool:
    """`labels.key` and `labels.key:value`, separated by blanks."""
    labels = document.get("labels") or {}
    for term in wanted.split():
        key, _, value = term.removeprefix("labels.").partition(":")
        if key not in labels or (value and labels[key] != value):
            return False
    return True
