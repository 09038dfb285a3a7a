"""`jobs` and `projects` of the REST API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.routing import Route

from vertex_emulator.bigquery import catalog, results, work
from vertex_emulator.bigquery.database import Database, rows
from vertex_emulator.bigquery.http import Call, Endpoints, object_at, page_answer
from vertex_emulator.bigquery.jobs import Job, Jobs, finished
from vertex_emulator.bigquery.query import Runner
from vertex_emulator.errors import ApiError
from vertex_emulator.storage.service import StorageService

_ROOT = "/bigquery/v2/projects"
# How long jobs.insert waits, so that the answer of a small query says that it is done.
_INSERT_WAIT_SECONDS = 1.0
_QUERY_WAIT_MS = 10_000  # https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query
_MAXIMUM_WAIT_MS = 200_000


def dry_run(
    database: Database, storage: StorageService, project: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    """The job document of a dry run, which is not kept.

    Raises:
        ApiError: what the query does wrong.
    """
    configuration = object_at(body, "configuration")
    if "query" not in configuration:
        raise ApiError(400, "Only queries have dry runs.")
    request = work.query_request(project, object_at(configuration, "query"), configuration)
    outcome = Runner(database, storage, request).run()
    document = {
        "kind": "bigquery#job",
        "jobReference": {"projectId": project, "location": "US"},
        "configuration": {**configuration, "jobType": "QUERY"},
        "statistics": {"creationTime": str(catalog.now_ms())},
    }
    return finished(Job(document), outcome)


def routes(
    database: Database, storage: StorageService, jobs: Jobs, endpoints: Endpoints
) -> list[Route]:
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs."""

    def insert(call: Call) -> dict[str, Any]:
        project = call.path["project"]
        if object_at(call.body, "configuration").get("dryRun"):
            return dry_run(database, storage, project, call.body)
        job = jobs.start(project, call.body)
        job.done.wait(_INSERT_WAIT_SECONDS)
        return job.document

    def query(call: Call) -> dict[str, Any]:
        project = call.path["project"]
        whole = {"query": call.body, "labels": call.body.get("labels"), "dryRun": False}
        if call.body.get("dryRun"):
            document = dry_run(
                database, storage, project, {"configuration": {**whole, "dryRun": True}}
            )
            part = document["statistics"]["query"]
            return {
                "kind": "bigquery#queryResponse",
                "jobComplete": True,
                "jobReference": document["jobReference"],
                "totalBytesProcessed": part["totalBytesProcessed"],
                "cacheHit": False,
                **({"schema": part["schema"]} if "schema" in part else {}),
            }
        job = jobs.start(project, {"configuration": whole})
        milliseconds = call.body.get("timeoutMs")
        _wait(job, milliseconds if isinstance(milliseconds, int) else _QUERY_WAIT_MS)
        formats = object_at(call.body, "formatOptions")
        answer = results.answer(
            database,
            job,
            start=0,
            limit=call.body.get("maxResults"),
            timestamps=results.timestamp_format(formats),
        )
        return {**answer, "kind": "bigquery#queryResponse"}

    def get_results(call: Call) -> dict[str, Any]:
        job = jobs.get(call.path["project"], call.path["job"])
        if job.kind != "query":
            raise ApiError(400, "Cannot get the query results of a job that is not a query.")
        wait = call.integer("timeoutMs")
        _wait(job, _QUERY_WAIT_MS if wait is None else wait)
        formats = {key.removeprefix("formatOptions."): value for key, value in call.query.items()}
        return results.answer(
            database,
            job,
            start=results.first_row(call),
            limit=call.integer("maxResults"),
            timestamps=results.timestamp_format(formats),
        )

    def get(call: Call) -> dict[str, Any]:
        return jobs.get(call.path["project"], call.path["job"]).document

    def list_all(call: Call) -> dict[str, Any]:
        documents = jobs.list(call.path["project"])
        states = [value.upper() for key, value in call.query_items if key == "stateFilter"]
        earliest = call.integer("minCreationTime") or 0
        latest = call.integer("maxCreationTime") or 2**62
        documents = [
            document
            for document in documents
            if (not states or document["status"]["state"] in states)
            and earliest <= int(document["statistics"]["creationTime"]) <= latest
        ]
        return page_answer(
            call,
            "jobList",
            "jobs",
            documents,
            lambda document: {**document, "state": document["status"]["state"]},
        )

    def cancel(call: Call) -> dict[str, Any]:
        job = jobs.cancel(call.path["project"], call.path["job"])
        job.done.wait(_INSERT_WAIT_SECONDS)
        return {"kind": "bigquery#jobCancelResponse", "job": job.document}

    def delete(call: Call) -> None:
        jobs.delete(call.path["project"], call.path["job"])

    def projects(call: Call) -> dict[str, Any]:
        with database.reading() as cursor:
            found = rows(cursor, "SELECT DISTINCT project FROM catalog.datasets ORDER BY 1")
        names = [project for (project,) in found]
        answer = page_answer(call, "projectList", "projects", names, _project)
        return {**answer, "totalItems": len(names)}

    one = _ROOT + "/{project}/jobs/{job}"
    return [
        endpoints.route("POST", _ROOT + "/{project}/jobs", "jobs.insert", insert),
        endpoints.route("GET", _ROOT + "/{project}/jobs", "jobs.list", list_all),
        endpoints.route("GET", one, "jobs.get", get),
        endpoints.route("POST", one + "/cancel", "jobs.cancel", cancel),
        endpoints.route("DELETE", one + "/delete", "jobs.delete", delete),
        endpoints.route("POST", _ROOT + "/{project}/queries", "jobs.query", query),
        endpoints.route(
            "GET", _ROOT + "/{project}/queries/{job}", "jobs.getQueryResults", get_results
        ),
        endpoints.route("GET", _ROOT, "projects.list", projects),
    ]


def _project(name: str) -> dict[str, Any]:
    return {
        "kind": "bigquery#project",
        "id": name,
        "numericId": "0",
        "projectReference": {"projectId": name},
        "friendlyName": name,
    }


def _wait(job: Job, milliseconds: int) -> None:
    deadline = time.monotonic() + min(milliseconds, _MAXIMUM_WAIT_MS) / 1000
    job.done.wait(max(0.0, deadline - time.monotonic()))
