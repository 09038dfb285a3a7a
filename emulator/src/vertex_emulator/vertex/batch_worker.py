"""Runs batch prediction jobs: reads the requests, answers them, writes the results.

What a line or row of the output holds: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage
("Retrieve batch output"). The state of a job is in the store alone: after a crash each unfinished
job starts again from its beginning.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from vertex_emulator.calls import Call
from vertex_emulator.errors import ApiError
from vertex_emulator.vertex.content import ContentService
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.jobs import JobThreads
from vertex_emulator.vertex.messages import Document, check
from vertex_emulator.vertex.model_versions import find_version

KIND = "batchPredictionJobs"
TERMINAL = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}

_OUTPUT_COLUMNS = ("status", "processed_time", "request", "response")
_PENDING_SHARE = 0.3
_AT_ONCE = 2
_ROWS_PER_UPDATE = 100

log = logging.getLogger(__name__)


def answering(context: VertexContext, model: str) -> str:
    """The model or endpoint that answers for `model`; of a tuned model, its endpoint.

    Raises:
        ApiError: 404 when there is none.
    """
    if "/endpoints/" in model:
        raise ApiError(
            400,
            f"The model {model} is an endpoint; a batch prediction job takes a publisher's model"
            " or the name of a model in the registry.",
        )
    if model.startswith("projects/") and "/publishers/" not in model and "/models/" in model:
        model = find_version(context.resources, model)["deployedModels"][-1]["endpoint"]
    context.catalog.resolve(model)
    return model


class _StoppedError(Exception):
    """The job was cancelled, or the server stops."""


class _InputError(Exception):
    """The input of a job is malformed."""


class BatchWorker(JobThreads):
    """Moves batch prediction jobs through their states, each in a thread of its own."""

    def __init__(self, context: VertexContext) -> None:
        self._content = ContentService(context)
        self._running = threading.Semaphore(_AT_ONCE)
        super().__init__(context, KIND, TERMINAL)

    def run(self, name: str) -> None:
        """Take the job called `name` to its end; raises nothing."""
        try:
            self._work(name)
        except _StoppedError:
            if not self.closed:
                self._move(name, "JOB_STATE_CANCELLED")
        except (_InputError, ApiError) as error:
            self._fail(name, 3, str(error))
        except Exception:
            log.exception("batch prediction job %s failed", name)
            self._fail(name, 13, "Internal error encountered while predicting.")

    def _work(self, name: str) -> None:
        job = self._get(name)
        fault = job.get("_fault", {})
        seconds = self._context.config.batch_seconds
        self._pause(name, None if fault.get("outcome") == "pending" else seconds * _PENDING_SHARE)
        with self._running:
            self._move(name, "JOB_STATE_RUNNING")
            if fault.get("outcome") == "pause":
                self._move(name, "JOB_STATE_PAUSED")
                self._pause(name, None)
            self._pause(name, seconds * (1 - _PENDING_SHARE))
            if fault.get("outcome") == "fail":
                self._fail(name, 13, fault["message"])
                return
            tally = self._predict(job)
        if self._is_cancelled(name):
            self._move(name, "JOB_STATE_CANCELLED", **tally)
        else:
            self._move(name, "JOB_STATE_SUCCEEDED", **tally)

    def _predict(self, job: Document) -> Document:
        """Answer every request of `job` and write the output; returns the job's fields about it."""
        output = job["outputConfig"]
        results = _Results(self._rows(job))
        if "gcsDestination" in output:
            prefix = output["gcsDestination"]["outputUriPrefix"].rstrip("/")
            folder = f"{prefix}/prediction-model-{job['createTime']}"
            lines = (
                (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
                for row in results
            )
            self._context.storage.write_stream(
                f"{folder}/predictions.jsonl", lines, "application/jsonl"
            )
            info = {"gcsOutputDirectory": folder}
        else:
            table = _output_table(output["bigqueryDestination"]["outputUri"], job)
            rows = [_as_columns(row) for row in results]
            self._context.bigquery.append_rows(table, rows, _columns(rows), once=job["name"])
            dataset, _, name = table.rpartition(".")
            info = {"bigqueryOutputDataset": f"bq://{dataset}", "bigqueryOutputTable": name}
        return {"outputInfo": info, "completionStats": results.stats()}

    def _rows(self, job: Document) -> Iterator[Document]:
        """The output row of every request, until the job is cancelled."""
        resource = answering(self._context, job["model"])
        call = Call("vertex", "generateContent", resource.rpartition("/")[2], job["name"])
        for index, row in enumerate(self._requests(job["inputConfig"])):
            if index % _ROWS_PER_UPDATE == 0:
                if self.closed:
                    raise _StoppedError
                if self._is_cancelled(job["name"]):
                    return
            yield self._result(row, resource, call)

    def _result(self, row: Document, resource: str, call: Call) -> Document:
        status, response = "", {}
        try:
            response = self._content.answer(
                check("GenerateContentRequest", row["request"]), resource, call
            )
        except ApiError as error:
            status = f"{_PHRASES.get(error.code, 'Error')}: {json.dumps(_short(error))}"
        now = self._context.faults.now().isoformat(timespec="milliseconds")
        extra = {key: value for key, value in row.items() if key not in _OUTPUT_COLUMNS}
        return {
            "status": status,
            "processed_time": now,
            "request": row["request"],
            "response": response,
            **extra,
        }

    def _requests(self, source: Document) -> Iterator[Document]:
        if "gcsSource" in source:
            yield from self._lines(source["gcsSource"]["uris"][0])
            return
        table = source["bigquerySource"]["inputUri"].removeprefix("bq://")
        for number, row in enumerate(self._context.bigquery.read_rows(table), 1):
            try:
                request = row["request"]
                parsed = json.loads(request) if isinstance(request, str) else request
            except (KeyError, ValueError) as error:
                raise _InputError(
                    f"Failed to import data. Row {number} of {table} has no JSON in its column"
                    " request."
                ) from error
            yield {**row, "request": parsed}

    def _lines(self, uri: str) -> Iterator[Document]:
        with self._context.storage.open(uri) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise _InputError(
                        f"Failed to import data. Line {number} of {uri} is not JSON."
                    ) from error
                if not isinstance(row, dict) or "request" not in row:
                    raise _InputError(
                        f"Failed to import data. Line {number} of {uri} has no field request."
                    )
                yield row

    def _get(self, name: str) -> Document:
        job = self._context.resources.get(name)
        if job is None:
            raise _StoppedError
        return job

    def _is_cancelled(self, name: str) -> bool:
        return bool(self._get(name)["state"] == "JOB_STATE_CANCELLING")

    def _pause(self, name: str, seconds: float | None) -> None:
        """Wait, without limit if `seconds` is None; ends early when the job is cancelled.

        Raises:
            _StoppedError: It was cancelled, or the server stops.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._is_cancelled(name), seconds)
        if self.closed or self._is_cancelled(name):
            raise _StoppedError

    def _move(self, name: str, state: str, **fields: Any) -> None:
        """Put the job into `state`, unless it has ended or is being cancelled."""
        now = self._context.now()

        def change(job: Document) -> None:
            cancelling = job["state"] == "JOB_STATE_CANCELLING" and state not in TERMINAL
            if job["state"] in TERMINAL or cancelling:
                return
            job.update(fields, state=state, updateTime=now)
            if state == "JOB_STATE_RUNNING":
                job["startTime"] = now
            if state in TERMINAL:
                job["endTime"] = now

        self._context.resources.update(name, change)

    def _fail(self, name: str, code: int, message: str) -> None:
        self._move(name, "JOB_STATE_FAILED", error={"code": code, "message": message})


class _Results:
    """Output rows, counted as they pass."""

    def __init__(self, rows: Iterable[Document]) -> None:
        self._rows = rows
        self._counts = {"successfulCount": 0, "failedCount": 0}

    def __iter__(self) -> Iterator[Document]:
        for row in self._rows:
            self._counts["failedCount" if row["status"] else "successfulCount"] += 1
            yield row

    def stats(self) -> dict[str, str]:
        """`CompletionStats`; int64 values are strings in proto's JSON."""
        return {name: str(count) for name, count in self._counts.items() if count}


_PHRASES = {400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 501: "Not Implemented"}


def _short(error: ApiError) -> Document:
    fields = {"code": error.code, "message": error.message, "status": error.status}
    return {"error": fields}


def _output_table(uri: str, job: Document) -> str:
    """`project.dataset.table` that the output goes to; what `uri` leaves out is named here."""
    parts = uri.removeprefix("bq://").split(".")
    time = datetime.fromisoformat(job["createTime"])
    stamp = time.strftime("%Y_%m_%dT%H_%M_%S_%f")[:-3] + "Z"
    names = (f"prediction_model_{stamp}", f"predictions_{stamp}")
    return ".".join([*parts, *names[len(parts) - 1 :]])


def _as_columns(row: Document) -> Document:
    return {
        key: json.dumps(value) if isinstance(value, dict | list) else value
        for key, value in row.items()
    }


def _columns(rows: list[Document]) -> list[Document]:
    """The output table's schema: the columns of Gemini batches, others as strings."""
    types = {"status": "STRING", "processed_time": "TIMESTAMP"}
    types |= {"request": "JSON", "response": "JSON"}
    names = dict.fromkeys([*_OUTPUT_COLUMNS, *(name for row in rows for name in row)])
    return [{"name": name, "type": types.get(name, "STRING"), "mode": "NULLABLE"} for name in names]
