"""What jobs of every kind share: a thread each, and the methods of their collection."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex import operations
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import PARENT, Served, parent_name, resource_name
from vertex_emulator.vertex.listing import page_answer, select
from vertex_emulator.vertex.messages import Document, parse
from vertex_emulator.vertex.model_versions import visible


class JobThreads(ABC):
    """Runs the jobs of one kind, each in a thread of its own.

    The state of a job is in the store alone: after a crash each unfinished job starts again.

    Args:
        context: The services and stores.
        kind: Name of the collection, such as `tuningJobs`.
        ended: The states in which a job has ended.
    """

    cancelling = "JOB_STATE_CANCELLING"

    def __init__(self, context: VertexContext, kind: str, ended: Collection[str]) -> None:
        self.closed = False
        self.kind = kind
        self.ended = ended
        self._context = context
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        for job in context.resources.list(kind):
            if job["state"] not in ended:
                self._start(job["name"])

    def submit(self, job: Document) -> None:
        """Store a new job and start it."""
        self._context.resources.put(job["name"], self.kind, job)
        self._start(job["name"])

    def cancel(self, name: str) -> None:
        """Ask the job called `name` to stop; this has no effect on a job that has ended."""

        def change(job: Document) -> None:
            if job["state"] not in self.ended:
                job.update(state=self.cancelling, updateTime=self._context.now())

        self._context.resources.update(name, change)
        self.wake()

    def wake(self) -> None:
        """Make waiting jobs look at their state again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop; unfinished jobs go on at the next start."""
        self.closed = True
        self.wake()
        for thread in self._threads:
            thread.join(10)

    @abstractmethod
    def run(self, name: str) -> None:
        """Take the job called `name` to its end; raises nothing."""

    def _start(self, name: str) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self.run, args=(name,), name=self.kind, daemon=True)
        self._threads.append(thread)
        thread.start()


class JobMethods(ABC):
    """Serves create, get, list, cancel and delete for one collection of jobs.

    Attributes:
        message: What the API calls one job, such as `TuningJob`.
    """

    message: str

    def __init__(self, context: VertexContext, worker: JobThreads) -> None:
        self._context = context
        self._worker = worker

    def served(self) -> list[Served]:
        """The methods, without delete, which not every collection has."""
        kind, many, one = self._worker.kind, self.path, f"{self.path}/{{job}}"
        return [
            ("POST", f"{one}:cancel", f"{kind}.cancel", self.cancel),
            ("POST", many, f"{kind}.create", self.create),
            ("GET", many, f"{kind}.list", self.list_all),
            ("GET", one, f"{kind}.get", self.get),
        ]

    def served_delete(self) -> Served:
        """The method that deletes a job."""
        return "DELETE", f"{self.path}/{{job}}", f"{self._worker.kind}.delete", self.delete

    @property
    def path(self) -> str:
        """Path of the collection below the version of the API."""
        return f"{PARENT}/{self._worker.kind}"

    async def create(self, request: Request) -> Response:
        """Store and start the job that the body asks for."""
        body = parse(self.message, await request.body())
        return JSONResponse(await run_in_threadpool(self._create, request, body))

    async def get(self, request: Request) -> Response:
        """One job."""
        return JSONResponse(self._shown(self._find(resource_name(request))))

    async def list_all(self, request: Request) -> Response:
        """One page of the jobs that the filter admits, newest first."""
        query, kind = request.query_params, self._worker.kind
        jobs = self._context.resources.list(kind, parent_name(request))[::-1]
        return JSONResponse(page_answer(kind, self._listed(jobs, query), query))

    async def cancel(self, request: Request) -> Response:
        """Ask a job to stop; the answer does not wait until it has."""
        name = resource_name(request)
        self._find(name)
        self._worker.cancel(name)
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        """Delete a job that has ended; the answer is the operation that did it."""
        name = resource_name(request)
        job = self._find(name)
        if job["state"] not in self._worker.ended:
            raise ApiError(
                400,
                f"The {self.message} {name} is {job['state']}. Cancel it before deleting it.",
                status="FAILED_PRECONDITION",
            )
        self._context.resources.delete(name)
        operation = operations.done(
            request,
            self._context.resources,
            parent_name(request),
            self._context.now(),
            metadata="DeleteOperationMetadata",
        )
        return JSONResponse(operation)

    @abstractmethod
    def _new(self, request: Request, body: Document) -> Document:
        """The document of a new job.

        Raises:
            ApiError: The service does not take the body.
        """

    def _create(self, request: Request, body: Document) -> Document:
        job = self._new(request, body)
        self._worker.submit(job)
        return self._shown(job)

    def _shown(self, job: Document) -> Document:
        """A job as the API gives it."""
        return visible(job)

    def _listed(self, jobs: list[Document], query: Mapping[str, str]) -> list[Document]:
        """The jobs that a list shows, as it shows them."""
        return select([self._shown(job) for job in jobs], query.get("filter", ""))

    def _find(self, name: str) -> Document:
        job = self._context.resources.get(name)
        if job is None:
            raise ApiError(404, f"The {self.message} {name} was not found.")
        return job
