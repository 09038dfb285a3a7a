"""Pipeline jobs: create, get, list, cancel and delete.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.pipelineJobs
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import PARENT, Served, both_versions_of, parent_name, refuse
from vertex_emulator.vertex.jobs import JobMethods
from vertex_emulator.vertex.listing import camel, select
from vertex_emulator.vertex.messages import Document
from vertex_emulator.vertex.pipeline_spec import check_parameters, check_spec
from vertex_emulator.vertex.pipeline_view import shown
from vertex_emulator.vertex.pipeline_worker import KIND, PipelineWorker

_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
_LABEL = re.compile(r"[a-z0-9_-]{1,64}")
_ORDERED_BY = ("displayName", "createTime", "updateTime", "endTime", "startTime")
_NO_EFFECT = ("labels", "encryptionSpec", "serviceAccount", "templateUri", "preflightValidations")
_NOT_SERVED = ("network", "reservedIpRanges", "pscInterfaceConfig")
_NEEDS_KFP = (
    "The emulator runs pipelines with KFP's local runner, and kfp is not installed next to it: "
    "pip install './emulator[pipelines]', then start the emulator again."
)


def routes(context: VertexContext, worker: PipelineWorker) -> list[Route]:
    """The routes of `projects.locations.pipelineJobs`, and the refusal of schedules."""
    service = _PipelineJobs(context, worker)
    many = service.path
    refused: list[Served] = [
        ("POST", f"{many}:batchDelete", f"{KIND}.batchDelete", refuse(f"{KIND}.batchDelete")),
        ("POST", f"{many}:batchCancel", f"{KIND}.batchCancel", refuse(f"{KIND}.batchCancel")),
        ("POST", f"{PARENT}/schedules", "schedules.create", refuse("schedules of pipelines")),
        ("GET", f"{PARENT}/schedules", "schedules.list", refuse("schedules of pipelines")),
    ]
    return both_versions_of(context.stats, [*refused, *service.served(), service.served_delete()])


class _PipelineJobs(JobMethods):
    message = "PipelineJob"

    async def create(self, request: Request) -> Response:
        """Store and start a pipeline, for clients that hold the emulator's token."""
        self._context.access.require(request.headers)  # a pipeline is code that runs here
        return await super().create(request)

    def _shown(self, job: Document) -> Document:
        return shown(self._context, job)

    def _listed(self, jobs: list[Document], query: Mapping[str, str]) -> list[Document]:
        documents = [
            {**job, "pipelineName": job["pipelineSpec"]["pipelineInfo"]["name"]} for job in jobs
        ]
        found = _ordered(select(documents, query.get("filter", "")), query.get("orderBy", ""))
        mask = query.get("readMask", "")
        return [_masked(_without_tasks(self._shown(job)), mask) for job in found]

    def _new(self, request: Request, body: Document) -> Document:
        for field in _NOT_SERVED:
            if body.get(field):
                raise not_served(f"`{field}` of pipeline jobs")
        if not body.get("pipelineSpec"):
            raise not_served("pipeline jobs without pipelineSpec: the client loads the template")
        if importlib.util.find_spec("kfp") is None:
            raise ApiError(400, _NEEDS_KFP, status="FAILED_PRECONDITION")
        runtime = body.get("runtimeConfig", {})
        root = runtime.get("gcsOutputDirectory", "")
        if not re.match(r"gs://[^/]+", root):
            raise ApiError(
                400, f"runtime_config.gcs_output_directory is not a gs:// address: {root!r}."
            )
        for field in ("parameters", "inputArtifacts"):
            if runtime.get(field):
                raise not_served(f"runtimeConfig.{field} of pipeline jobs")
        _check_labels(body.get("labels", {}))
        check_spec(body["pipelineSpec"])
        check_parameters(body["pipelineSpec"], runtime.get("parameterValues", {}))
        resources, now = self._context.resources, self._context.now()
        number = resources.new_id()
        query = request.query_params
        given = query.get("pipelineJobId") or query.get("pipeline_job_id")
        identifier = given or f"{body['pipelineSpec']['pipelineInfo']['name']}-{number}"
        if not _ID.fullmatch(identifier):
            raise ApiError(400, f"pipeline_job_id {identifier!r} does not match {_ID.pattern!r}.")
        name = f"{parent_name(request)}/{KIND}/{identifier}"
        if resources.get(name) is not None:
            raise ApiError(409, f"The PipelineJob {name} already exists.")
        return {
            "name": name,
            "displayName": body.get("displayName") or identifier,
            "createTime": now,
            "updateTime": now,
            "pipelineSpec": body["pipelineSpec"],
            "runtimeConfig": runtime,
            "state": "PIPELINE_STATE_PENDING",
            **{field: body[field] for field in _NO_EFFECT if field in body},
            "_tasks": {},
            "_root_id": number,
        }


def _check_labels(labels: dict[str, str]) -> None:
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or not (value == "" or _LABEL.fullmatch(value)):
            raise ApiError(
                400,
                f"Invalid label {key!r}: {value!r}. Keys and values have lowercase letters, digits,"
                " _ and -, at most 64 of them.",
            )


def _without_tasks(job: Document) -> Document:
    """A job as the list shows it: without the details of its tasks."""
    detail = {key: value for key, value in job["jobDetail"].items() if key != "taskDetails"}
    return {**{key: job[key] for key in job if key != "pipelineName"}, "jobDetail": detail}


def _ordered(jobs: list[Document], order: str) -> list[Document]:
    """Jobs by the fields of `orderBy`, the first of which counts most."""
    for part in reversed([part.split() for part in order.split(",") if part.strip()]):
        field = camel(part[0])
        if field not in _ORDERED_BY or part[1:] not in ([], ["asc"], ["desc"]):
            raise ApiError(400, f"Invalid order_by {order!r}; fields: {', '.join(_ORDERED_BY)}.")
        jobs = sorted(jobs, key=partial(_field, field), reverse=part[1:] == ["desc"])
    return jobs


def _field(name: str, job: Document) -> str:
    return str(job.get(name, ""))


def _masked(document: Document, mask: str) -> Document:
    """The fields of a document that a field mask names; the name always, all for an empty mask."""
    if not mask:
        return document
    kept: Document = {"name": document["name"]}
    for path in mask.split(","):
        *outer, last = (camel(key) for key in path.split("."))
        source: Any = document
        for key in outer:
            source = source.get(key) if isinstance(source, dict) else None
        if isinstance(source, dict) and last in source:
            target = kept
            for key in outer:
                target = target.setdefault(key, {})
            target[last] = source[last]
    return kept
