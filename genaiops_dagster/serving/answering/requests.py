"""The request log: what was served, to the BigQuery table `requests`, in batches.

Figures always, texts only where the use case opts in, and then without personal data and secrets.
Rows are added without waiting. What BigQuery does not take waits and is tried again, on disk if
there is a folder for it; nothing is dropped silently.
"""

from __future__ import annotations

import atexit
import datetime as dt
import hashlib
import json
import logging
import queue
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genaiops_dagster.budget.pricing import PriceList
from genaiops_dagster.data.sensitive import redacted
from genaiops_dagster.google_cloud.warehouse import Column, Table, Warehouse
from genaiops_dagster.records import layout
from genaiops_dagster.records.clock import SYSTEM_CLOCK, Clock
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.records.serving import Finding, Status
from genaiops_dagster.serving.answering.costs import answer_cost
from genaiops_dagster.use_case import UseCase

_LOG = logging.getLogger(__name__)

_MOST_WAITING = 50_000
"""Rows that wait in memory at most."""
_ENDING = ".requests.jsonl"

REQUESTS = Table(
    name=layout.REQUESTS,
    description="Requests of users, as the router served them: one row for each.",
    columns=(
        Column("request_id", "STRING", "Identifies the request; feedback names it.", "REQUIRED"),
        Column("created", "TIMESTAMP", "When it was sent.", "REQUIRED"),
        Column("use_case", "STRING", "Use case.", "REQUIRED"),
        Column("user_digest", "STRING", "sha256 of the user's key, shortened."),
        Column("arm", "STRING", "champion, candidate, or mirror: its answer was not shown."),
        Column("champion_number", "INT64", "Number of the champion, or what it will be."),
        Column("candidate", "STRING", "Its name in the use case file."),
        Column("decision", "STRING", "Fingerprint of the decision that let it pass."),
        Column("model", "STRING", "Endpoint or base model."),
        Column("model_version", "STRING", "What the response says answered."),
        Column("prompt_digest", "STRING", "Version of the prompt."),
        Column("state", "STRING", "answered, refused, blocked, truncated or failed.", "REQUIRED"),
        Column("reason", "STRING", "Why it was not answered."),
        Column("guardrails", "STRING", "JSON: what the rules decided."),
        Column("finish_reason", "STRING", "As the service says."),
        Column("input_tokens", "INT64", "As billed."),
        Column("output_tokens", "INT64", "As billed, thinking included."),
        Column("cost_usd", "FLOAT64", "Price in US dollars; NULL when none is known."),
        Column("latency_seconds", "FLOAT64", "From request to complete response."),
        Column("input_characters", "INT64", "Length of the variables' texts."),
        Column("output_characters", "INT64", "Length of the answer."),
        Column("variables", "STRING", "Template variables in JSON, redacted; NULL by default."),
        Column("answer", "STRING", "The answer, redacted; NULL by default."),
    ),
    keys=("request_id",),
    partition="created",
    clustering=("use_case", "arm"),
)


class ServedRequest(NamedTuple):
    """One request and how it ended.

    Attributes:
        request_id: As `new_request_id` makes it.
        use_case: Whose request; its prices count, and its file says whether texts are kept.
        started: When it was sent, in seconds since 1970.
        served: The model that was asked.
        arm: `champion`, `candidate` or `mirror`.
        user: The user's key; only its digest is recorded.
        variables: What the user gave.
        status: How it ended.
        answer: With what figures, and the text as it was shown.
        findings: What the rules decided.
    """

    request_id: str
    use_case: UseCase
    started: float
    served: Champion
    arm: str
    user: str
    variables: Mapping[str, Any]
    status: Status
    answer: Answer
    findings: list[Finding]


def new_request_id(started: float) -> str:
    """An id that no other request has; it begins with the day (UTC), to be found by it.

    Args:
        started: When the request was sent, in seconds since 1970.
    """
    return f"{dt.datetime.fromtimestamp(started, dt.UTC):%Y%m%d}-{uuid.uuid4().hex}"


def request_day(request_id: str) -> dt.date:
    """The day (UTC) on which a request was sent.

    Raises:
        ValueError: that is not a request's id.
    """
    return (
        dt.datetime.strptime(request_id.partition("-")[0], "%Y%m%d").replace(tzinfo=dt.UTC).date()
    )


def request_row(request: ServedRequest) -> dict[str, Any]:
    """A request's row of the table `requests`, with redacted texts if the use case keeps them."""
    served, answer = request.served, request.answer
    texts = request.use_case.serving.log_texts
    created = dt.datetime.fromtimestamp(request.started, dt.UTC)
    prices = PriceList(created, request.use_case.budget.prices)
    values = [str(value) for value in request.variables.values()]
    return {
        "request_id": request.request_id,
        "created": created.isoformat(),
        "use_case": request.use_case.name,
        "user_digest": hashlib.sha256(request.user.encode()).hexdigest()[:16],
        "arm": request.arm,
        "champion_number": served.number,
        "candidate": served.candidate,
        "decision": served.decision_id,
        "model": served.model,
        "model_version": answer.model_version or None,
        "prompt_digest": served.prompt_digest,
        "state": request.status,
        "reason": answer.reason,
        "guardrails": json.dumps([finding.model_dump() for finding in request.findings]),
        "finish_reason": answer.finish_reason,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": answer_cost(prices, served)(answer),
        "latency_seconds": answer.latency_seconds,
        "input_characters": sum(len(value) for value in values),
        "output_characters": len(answer.text or ""),
        "variables": (
            json.dumps(redacted(request.variables), ensure_ascii=False, sort_keys=True)
            if texts
            else None
        ),
        "answer": redacted(answer.text) if texts else None,
    }


class RequestLog:
    """Writes requests from a thread of its own; `close` it, or let the process end in order.

    Args:
        warehouse: Dataset of the table.
        folder: Where rows that BigQuery did not take wait, also for the next process; in memory
            if None.
        batch_rows: Rows that are written at once.
        flush_seconds: Longest time that a row waits for others.
        close_seconds: How long `close` tries to write what is left.
        clock: Tells the time.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        *,
        folder: Path | None = None,
        batch_rows: int = 500,
        flush_seconds: float = 5.0,
        close_seconds: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._warehouse = warehouse
        self._folder = folder
        self._batch_rows = batch_rows
        self._flush_seconds = flush_seconds
        self._close_seconds = close_seconds
        self._clock = clock
        self._added: queue.SimpleQueue[ServedRequest | None] = queue.SimpleQueue()
        self._waiting: list[dict[str, Any]] = []
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def add(self, request: ServedRequest) -> None:
        """Record a request, without waiting for anything.

        Raises:
            RuntimeError: the log is closed.
        """
        if self._closed.is_set():
            raise RuntimeError("the request log is closed; open another one")
        self._added.put(request)
        if self._thread is None or not self._thread.is_alive():
            self._begin()

    def close(self) -> None:
        """Write what is left; what BigQuery does not take stays in the folder, or is lost.

        A second call does nothing.
        """
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            self._added.put(None)
            thread = self._thread
        atexit.unregister(self.close)
        if thread is not None:
            thread.join()
        else:
            self._finish()

    def _begin(self) -> None:
        with self._lock:
            if self._closed.is_set() or (self._thread and self._thread.is_alive()):
                return
            # A daemon: at the interpreter's end `close` is called first, and waits for it.
            self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        self._adopt()
        deadline = self._clock.elapsed() + self._flush_seconds
        while True:
            try:
                request = self._added.get(timeout=max(0.01, deadline - self._clock.elapsed()))
            except queue.Empty:
                pass
            else:
                if request is None:
                    self._finish()
                    return
                self._waiting.append(request_row(request))
                if len(self._waiting) < self._batch_rows and self._clock.elapsed() < deadline:
                    continue
            self._flush()
            deadline = self._clock.elapsed() + self._flush_seconds

    def _flush(self) -> bool:
        """Write the waiting rows; returns whether none is left."""
        if not self._waiting:
            return True
        try:
            self._warehouse.append(REQUESTS, self._waiting)
        except Exception as error:  # noqa: BLE001 - tried again, and logged
            _LOG.warning("%d requests are not recorded yet: %s", len(self._waiting), error)
            if len(self._waiting) >= _MOST_WAITING:
                self._give_up()
            return False
        self._waiting = []
        return True

    def _give_up(self) -> None:
        """Leave what waits to the next process; without a folder it is lost, and logged."""
        rows, self._waiting = self._waiting, []
        if self._folder is None:
            _LOG.error("%d requests could not be recorded and are lost", len(rows))
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{uuid.uuid4().hex}{_ENDING}"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        _LOG.warning("%d requests wait in %s", len(rows), path)

    def _finish(self) -> None:
        while not self._added.empty():
            request = self._added.get()
            if request is not None:
                self._waiting.append(request_row(request))
        deadline, pause = self._clock.elapsed() + self._close_seconds, 0.5
        while not self._flush() and self._waiting:
            if self._folder is not None or self._clock.elapsed() + pause > deadline:
                self._give_up()
                return
            self._clock.sleep(pause)
            pause = min(2 * pause, 5.0)

    def _adopt(self) -> None:
        """Take over what an earlier process had to leave, unless another one does so now."""
        from filelock import FileLock, Timeout

        left = sorted(self._folder.glob(f"*{_ENDING}")) if self._folder else []
        if not left:
            return
        try:
            with FileLock(f"{left[0].parent / 'requests.lock'}", blocking=False):
                for path in left:
                    if path.exists():
                        lines = path.read_text(encoding="utf-8").splitlines()
                        self._warehouse.append(REQUESTS, [json.loads(line) for line in lines])
                        path.unlink()
        except Timeout:
            return
        except Exception as error:  # noqa: BLE001 - it waits on for the next process
            _LOG.warning("Requests of an earlier process wait on: %s", error)
