"""What jobs of every kind share: a thread each, and the requests that find and delete them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex import operations
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import parent_name, resource_name
from vertex_emulator.vertex.messages import Document


class JobThreads(ABC):
    """Runs the jobs of one kind, each in a thread of its own.

    The state of a job is in the store alone: after a crash each unfinished job starts again.

    Args:
        context: The services and stores.
        kind: Name of the collection, such as `tuningJobs`.
        ended: The states in which a job has ended.
    """

    def __init__(self, context: VertexContext, kind: str, ended: Collection[str]) -> None:
        self.closed = False
        self._context = context
        self._kind = kind
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        for job in context.resources.list(kind):
            if job["state"] not in ended:
                self._start(job["name"])

    def submit(self, job: Document) -> None:
        """Store a new job and start it."""
        self._context.resources.put(job["name"], self._kind, job)
        self._start(job["name"])

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
        thread = threading.Thread(target=self.run, args=(name,), name=self._kind, daemon=True)
        self._threads.append(thread)
        thread.start()


def find_job(context: VertexContext, name: str, message: str) -> Document:
    """The job called `name`, which the API knows as a `message`, such as `TuningJob`.

    Raises:
        ApiError: 404, there is none.
    """
    job = context.resources.get(name)
    if job is None:
        raise ApiError(404, f"The {message} {name} was not found.")
    return job


def delete_job(
    context: VertexContext, request: Request, message: str, ended: Collection[str]
) -> Response:
    """Delete the job that the request names; the answer is the operation that did it.

    Raises:
        ApiError: 404, there is none; 400, its state is none of `ended`.
    """
    name = resource_name(request)
    job = find_job(context, name, message)
    if job["state"] not in ended:
        raise ApiError(
            400,
            f"The {message} {name} is {job['state']}. Cancel it before deleting it.",
            status="FAILED_PRECONDITION",
        )
    context.resources.delete(name)
    metadata = "DeleteOperationMetadata"
    return JSONResponse(
        operations.done(
            request, context.resources, parent_name(request), context.now(), metadata=metadata
        )
    )
