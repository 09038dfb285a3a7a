"""Batch prediction jobs: create, get, list, cancel and delete.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.routing import Route

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.vertex.batch_worker import KIND, BatchWorker, answering
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import both_versions_of, parent_name
from vertex_emulator.vertex.jobs import JobMethods
from vertex_emulator.vertex.messages import Document

_TABLE = re.compile(r"bq://[^/]+\.[^./]+\.[^./]+")
_DATASET_OR_TABLE = re.compile(r"bq://[^/.]+(?:\.[^./]+){0,2}")
_STORED = ("displayName", "model", "inputConfig", "outputConfig", "labels", "encryptionSpec")
_NOT_SERVED = (
    *("dedicatedResources", "unmanagedContainerModel", "generateExplanation", "explanationSpec"),
    *("modelMonitoringConfig", "instanceConfig", "modelParameters", "endpoint"),
)


def routes(context: VertexContext, worker: BatchWorker) -> list[Route]:
    """The routes of `projects.locations.batchPredictionJobs`."""
    service = _BatchPredictionJobs(context, worker)
    return both_versions_of(context.stats, [*service.served(), service.served_delete()])


class _BatchPredictionJobs(JobMethods):
    message = "BatchPredictionJob"

    def _new(self, request: Request, body: Document) -> Document:
        for field in _NOT_SERVED:
            if body.get(field):
                raise not_served(f"{field} of batch prediction jobs")
        for field in ("displayName", "model", "inputConfig", "outputConfig"):
            if not body.get(field):
                raise ApiError(400, f"The {field} field is required.")
        answering(self._context, body["model"])
        _check_input(body["inputConfig"])
        _check_output(body["outputConfig"])
        request.state.model = body["model"].rpartition("/")[2]
        now = self._context.now()
        number = self._context.resources.new_id()
        job = {
            "name": f"{parent_name(request)}/{KIND}/{number}",
            **{field: body[field] for field in _STORED if field in body},
            "state": "JOB_STATE_PENDING",
            "createTime": now,
            "updateTime": now,
            "modelVersionId": "1",
        }
        fault = self._context.faults.job(KIND, request.state.model, job["name"])
        if fault:
            job["_fault"] = {"outcome": fault.outcome, "message": fault.message}
        return job


def _check_input(config: Document) -> None:
    uris = config.get("gcsSource", {}).get("uris", [])
    table = config.get("bigquerySource", {}).get("inputUri")
    wanted = "bigquery" if table else "jsonl"
    if config.get("instancesFormat", wanted) != wanted:
        raise ApiError(
            400, f"instancesFormat {config['instancesFormat']!r} does not go with the source."
        )
    if table:
        if not _TABLE.fullmatch(table):
            raise ApiError(
                400, f"inputUri {table!r} is not of the form bq://project.dataset.table."
            )
    elif len(uris) != 1 or not uris[0].startswith("gs://"):
        raise ApiError(
            400, "inputConfig must have one JSONL file in gcsSource.uris or a bigquerySource."
        )


def _check_output(config: Document) -> None:
    prefix = config.get("gcsDestination", {}).get("outputUriPrefix")
    table = config.get("bigqueryDestination", {}).get("outputUri")
    wanted = "bigquery" if table else "jsonl"
    if config.get("predictionsFormat", wanted) != wanted:
        raise ApiError(
            400, f"predictionsFormat {config['predictionsFormat']!r} does not go with the place."
        )
    if table and not _DATASET_OR_TABLE.fullmatch(table):
        raise ApiError(400, f"outputUri {table!r} is not of the form bq://project.dataset.table.")
    if not table and not str(prefix).startswith("gs://"):
        raise ApiError(400, "outputConfig must have a gcsDestination or a bigqueryDestination.")
