"""Jobs: accepted, run in threads, looked up, cancelled.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vertex_emulator.bigquery.catalog import now_ms
from vertex_emulator.bigquery.database import Cursor, Database, rows
from vertex_emulator.bigquery.http import api_error
from vertex_emulator.bigquery.outcomes import Outcome, ResultRows
from vertex_emulator.errors import ApiError

_KINDS = ("query", "load", "extract", "copy")
_THREADS = 16
# Finished jobs kept in memory, and the rows that their results may have together.
_KEPT_JOBS = 1000
_KEPT_ROWS = 20_000_000
LONGEST_SECONDS = 300.0
"""How long a job may take; the service stops one after six hours."""

_ACCOUNT = "emulator@emulator.iam.gserviceaccount.com"

Work = Callable[["Job"], Outcome]


@dataclass
class Job:
    """One job.

    Attributes:
        document: Its REST resource.
        done: Set when it has ended.
        outcome: What it did, once it has.
        error: Why it failed.
        upload: File that came with a load job.
        cancelled: Whether a client asked it to stop.
        ran_out: Whether it took longer than it may.
        cursor: Connection that works for it now.
        kept: Its final document, once that is in the database.
    """

    document: dict[str, Any]
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None
    error: ApiError | None = None
    upload: Path | None = None
    cancelled: bool = False
    ran_out: bool = False
    cursor: Cursor | None = None
    kept: dict[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Project and job id."""
        reference = self.document["jobReference"]
        return reference["projectId"], reference["jobId"]

    @property
    def kind(self) -> str:
        """`query`, `load`, `extract` or `copy`."""
        return next(kind for kind in _KINDS if kind in self.document["configuration"])

    @property
    def configuration(self) -> dict[str, Any]:
        """`configuration.<kind>`."""
        configuration: dict[str, Any] = self.document["configuration"][self.kind]
        return configuration

    @property
    def seconds(self) -> float:
        """Longest time that it may take.

        Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job (`jobTimeoutMs`)
        """
        try:
            asked = int(self.document["configuration"]["jobTimeoutMs"]) / 1000
        except (KeyError, TypeError, ValueError):
            return LONGEST_SECONDS
        return min(asked, LONGEST_SECONDS) if asked > 0 else LONGEST_SECONDS

    def run_out(self) -> None:
        """Stop the job because its time is over."""
        self.ran_out = True
        self.interrupt()

    def interrupt(self) -> None:
        """Stop the statement that runs for the job, if one does."""
        if (cursor := self.cursor) is not None and not self.done.is_set():
            with suppress(Exception):  # The connection may just have closed.
                cursor.interrupt()

    def working_on(self, cursor: Cursor) -> None:
        """Note the connection that works for the job, so that a cancellation reaches it.

        Raises:
            ApiError: 499 if the job was cancelled before.
        """
        self.cursor = cursor
        self.stop_if_cancelled()

    def stop_if_cancelled(self) -> None:
        """Raise when a client asked the job to stop, or its time is over.

        Raises:
            ApiError: 499 if it did; 400 if its time is over.
        """
        if self.ran_out:
            raise self.timed_out()
        if self.cancelled:
            raise ApiError(
                499, "Job execution was cancelled: User requested cancellation", reason="stopped"
            )

    def timed_out(self) -> ApiError:
        """What a job says whose time is over."""
        return ApiError(
            400,
            f"Operation timed out after {self.seconds:g} seconds. Consider reducing the amount of "
            "work performed by your operation so that it can complete within this limit.",
            reason="timeout",
        )


class Jobs:
    """All jobs of the emulator.

    Jobs that changed something are kept in the database, in the transaction of the change; those
    that only read are kept in memory, the newest 1,000 of them.
    """

    def __init__(self, database: Database, workers: Mapping[str, Work]) -> None:
        self._database = database
        self._workers = workers
        self._lock = threading.Lock()
        self._jobs: OrderedDict[tuple[str, str], Job] = OrderedDict()
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="bigquery-job")

    def start(self, project: str, body: Mapping[str, Any], upload: Path | None = None) -> Job:
        """Accept a job and begin to run it.

        Raises:
            ApiError: 409 if the job id was used before; 400 if the request is wrong.
        """
        job = Job(_new_document(project, body), upload=upload)
        taken = ApiError(409, f"Already Exists: Job {job.document['id']}", reason="duplicate")
        if body.get("jobReference") and self._find(*job.key) is not None:
            raise taken
        with self._lock:
            if job.key in self._jobs:
                raise taken
            self._jobs[job.key] = job
        self._executor.submit(self._run, job)
        return job

    def _run(self, job: Job) -> None:
        job.document["status"] = {"state": "RUNNING"}
        job.document["statistics"]["startTime"] = str(now_ms())
        timer = threading.Timer(job.seconds, job.run_out)
        timer.daemon = True
        timer.start()
        try:
            job.outcome = self._workers[job.kind](job)
            job.document = job.kept or finished(job, job.outcome)
        except Exception as error:  # noqa: BLE001
            # A bug ends the job too, because a client waits for it.
            self._fail(job, job.timed_out() if job.ran_out else api_error(error))
        finally:
            timer.cancel()
            job.cursor = None
            if job.upload is not None:
                job.upload.unlink(missing_ok=True)
            job.done.set()
            self._forget_old()

    def _fail(self, job: Job, error: ApiError) -> None:
        job.error = error
        entry = {"reason": error.reason, "message": error.message}
        status = {"state": "DONE", "errorResult": entry, "errors": [entry]}
        document = {**finished(job, Outcome()), "status": status}
        if job.kind != "query":
            with self._database.writing() as cursor:
                _insert(cursor, document)
        job.document = document

    def _forget_old(self) -> None:
        """Give up the oldest finished jobs, and the oldest rows, beyond what is kept."""
        given_up: list[ResultRows] = []
        with self._lock:
            finished = [job for job in self._jobs.values() if job.done.is_set()]
            for job in finished[: max(0, len(self._jobs) - _KEPT_JOBS)]:
                del self._jobs[job.key]
                given_up += _taken_rows(job)
            kept = 0
            for job in reversed(list(self._jobs.values())):
                if job.done.is_set() and job.outcome and job.outcome.rows:
                    kept += job.outcome.rows.count
                    if kept > _KEPT_ROWS and kept > job.outcome.rows.count:
                        given_up += _taken_rows(job)
        for taken in given_up:
            self._database.drop_result(taken.relation)

    def _find(self, project: str, job_id: str) -> Job | None:
        with self._lock:
            job = self._jobs.get((project, job_id))
        if job is not None:
            return job
        with self._database.reading() as cursor:
            found = rows(
                cursor,
                "SELECT document FROM catalog.jobs WHERE project = ? AND job = ?",
                [project, job_id],
            )
        return _restored(json.loads(found[0][0])) if found else None

    def get(self, project: str, job_id: str) -> Job:
        """A job.

        Raises:
            ApiError: 404 if there is none, or it was a query too long ago.
        """
        job = self._find(project, job_id)
        if job is None:
            raise ApiError(404, f"Not found: Job {project}:{job_id}")
        return job

    def list(self, project: str) -> list[dict[str, Any]]:
        """Documents of a project's jobs, newest first."""
        with self._lock:
            documents = {key: job.document for key, job in self._jobs.items() if key[0] == project}
        with self._database.reading() as cursor:
            found = rows(
                cursor, "SELECT job, document FROM catalog.jobs WHERE project = ?", [project]
            )
        for job_id, document in found:
            documents.setdefault((project, job_id), json.loads(document))
        return sorted(
            documents.values(),
            key=lambda document: int(document["statistics"]["creationTime"]),
            reverse=True,
        )

    def cancel(self, project: str, job_id: str) -> Job:
        """Ask a job to stop; one that has ended stays as it is.

        Raises:
            ApiError: 404 if there is none.
        """
        job = self.get(project, job_id)
        job.cancelled = True
        job.interrupt()
        return job

    def delete(self, project: str, job_id: str) -> None:
        """Forget a job that has ended.

        Raises:
            ApiError: 404 if there is none; 400 if it is running.
        """
        job = self.get(project, job_id)
        if not job.done.is_set():
            raise ApiError(400, f"Job {project}:{job_id} is running.")
        with self._lock:
            self._jobs.pop(job.key, None)
        with self._database.writing() as cursor:
            cursor.execute(
                "DELETE FROM catalog.jobs WHERE project = ? AND job = ?", [project, job_id]
            )

    def close(self) -> None:
        """Stop running jobs and wait for their threads."""
        with self._lock:
            running = [job for job in self._jobs.values() if not job.done.is_set()]
        for job in running:
            self.cancel(*job.key)
        self._executor.shutdown(wait=True, cancel_futures=True)


def _taken_rows(job: Job) -> list[ResultRows]:
    """Give up the rows of a job."""
    outcome = job.outcome
    if outcome is None or outcome.rows is None:
        return []
    taken, outcome.rows = outcome.rows, None
    return [taken]


def _new_document(project: str, body: Mapping[str, Any]) -> dict[str, Any]:
    configuration = body.get("configuration")
    if not isinstance(configuration, dict):
        raise ApiError(400, "Required parameter is missing: configuration", reason="required")
    kinds = [kind for kind in _KINDS if isinstance(configuration.get(kind), dict)]
    if len(kinds) != 1:
        raise ApiError(400, f"A job needs one of the configurations {', '.join(_KINDS)}.")
    labels = configuration.get("labels") or {}
    if not isinstance(labels, dict):
        raise ApiError(400, "configuration.labels must be an object.")
    reference = body.get("jobReference") or {}
    job_id = reference.get("jobId") if isinstance(reference, dict) else None
    job_id = job_id or f"job_{uuid.uuid4().hex}"
    if (
        not isinstance(job_id, str)
        or len(job_id) > 1024
        or not all(char.isalnum() or char in "_-" for char in job_id)
    ):
        raise ApiError(400, f"Invalid job ID {str(job_id)[:120]!r}.")
    location = (reference.get("location") if isinstance(reference, dict) else None) or "US"
    if not isinstance(location, str) or not location.replace("-", "").isalnum():
        raise ApiError(400, f"Invalid location {str(location)[:120]!r}.")
    return {
        "kind": "bigquery#job",
        "id": f"{project}:{location}.{job_id}",
        "selfLink": f"/bigquery/v2/projects/{project}/jobs/{job_id}?location={location}",
        "jobReference": {"projectId": project, "jobId": job_id, "location": location},
        "configuration": {**configuration, "jobType": kinds[0].upper()},
        "status": {"state": "PENDING"},
        "statistics": {"creationTime": str(now_ms())},
        "user_email": _ACCOUNT,
    }


def finished(job: Job, outcome: Outcome) -> dict[str, Any]:
    """The document of a job that did what `outcome` says."""
    now = str(now_ms())
    total = str(outcome.total_bytes)
    part = dict(outcome.statistics)
    configuration = dict(job.configuration)
    if job.kind == "query":
        part |= {
            "totalBytesProcessed": total,
            "totalBytesBilled": total,
            "cacheHit": False,
            "totalPartitionsProcessed": "0",
        }
        if outcome.rows is not None:
            configuration.setdefault("destinationTable", anonymous_table(job))
        if outcome.destination is not None:
            configuration["destinationTable"] = outcome.destination
    return {
        **job.document,
        "configuration": {**job.document["configuration"], job.kind: configuration},
        "status": {"state": "DONE"},
        "statistics": {
            "startTime": now,
            **job.document["statistics"],
            "endTime": now,
            "totalBytesProcessed": total,
            job.kind: part,
        },
    }


def anonymous_table(job: Job) -> dict[str, str]:
    """The reference under which the rows of a query can be listed."""
    project, job_id = job.key
    return {"projectId": project, "datasetId": "_results", "tableId": f"anon_{job_id}"}


def keep(cursor: Cursor, job: Job, outcome: Outcome) -> None:
    """Put a finished job into the database, in the transaction of what it did.

    Clients see it as done only after that transaction, when the job's thread says so. A job that
    was cancelled in the meantime leaves nothing behind.

    Raises:
        ApiError: 499 if it was cancelled.
    """
    job.stop_if_cancelled()
    job.kept = finished(job, outcome)
    _insert(cursor, job.kept)


def _insert(cursor: Cursor, document: Mapping[str, Any]) -> None:
    reference = document["jobReference"]
    created = int(document["statistics"]["creationTime"])
    cursor.execute(
        "INSERT INTO catalog.jobs VALUES (?, ?, ?, ?)",
        [reference["projectId"], reference["jobId"], created, json.dumps(document)],
    )


def _restored(document: dict[str, Any]) -> Job:
    job = Job(document, kept=document)
    job.done.set()
    part = document["statistics"].get(job.kind) or {}
    if error := document["status"].get("errorResult"):
        job.error = ApiError(400, error["message"], reason=error["reason"])
    job.outcome = Outcome(part, destination=job.configuration.get("destinationTable"))
    return job
