"""`datasets` of the REST API."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from vertex_emulator.bigquery import catalog
from vertex_emulator.bigquery.database import Database
from vertex_emulator.bigquery.http import Call, Endpoints, object_at, page, text_at
from vertex_emulator.bigquery.resources import (
    changed_dataset,
    check_etag,
    new_dataset,
    shown_dataset,
)

_PATH = "/bigquery/v2/projects/{project}/datasets"


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
        shown, token = page(documents, call, 1000)
        answer: dict[str, Any] = {
            "kind": "bigquery#datasetList",
            "datasets": [
                {
                    key: document[key]
                    for key in ("id", "datasetReference", "labels", "friendlyName", "location")
                    if key in document
                }
                for document in shown
            ],
        }
        return {**answer, "nextPageToken": token} if token else answer

    def change(call: Call, *, replace: bool) -> dict[str, Any]:
        project, dataset = call.path["project"], call.path["dataset"]
        with database.writing() as cursor:
            document = catalog.get_dataset(cursor, project, dataset)
            check_etag(call.headers.get("if-match"), shown_dataset(document))
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

    one = _PATH + "/{dataset}"
    return [
        endpoints.route("POST", _PATH, "datasets.insert", insert),
        endpoints.route("GET", _PATH, "datasets.list", list_all),
        endpoints.route("GET", one, "datasets.get", get),
        endpoints.route("PATCH", one, "datasets.patch", lambda call: change(call, replace=False)),
        endpoints.route("PUT", one, "datasets.update", lambda call: change(call, replace=True)),
        endpoints.route("DELETE", one, "datasets.delete", delete),
    ]


def _has_labels(document: catalog.Document, wanted: str) -> bool:
    """`labels.key` and `labels.key:value`, separated by blanks."""
    labels = document.get("labels") or {}
    for term in wanted.split():
        key, _, value = term.removeprefix("labels.").partition(":")
        if key not in labels or (value and labels[key] != value):
            return False
    return True
