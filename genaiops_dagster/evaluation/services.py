"""The paid services of one evaluation: their caches, and a limit for each quota."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from genaiops_dagster.evaluation.asking.batch import answer_in_batch
from genaiops_dagster.evaluation.asking.batch_locations import (
    BatchLocation,
    BigQuery,
    CloudStorage,
)
from genaiops_dagster.evaluation.asking.cache import CacheMode, RecordCache
from genaiops_dagster.evaluation.asking.concurrency import AdaptiveLimit, PaidService, Patience
from genaiops_dagster.evaluation.asking.counting import Counter
from genaiops_dagster.evaluation.asking.inference import Contents, Model, contents_key
from genaiops_dagster.evaluation.judging.judge import judge_digest
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.evaluation import Answer, Judgement
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case.evaluation import Evaluation

R = TypeVar("R", bound=Record)


class Services:
    """Opens caches and paid services; a context manager after which every record is written.

    Args:
        use_case: Name of the use case, whose folder of responses is used.
        evaluation: Limits, deadlines and judge.
        store: The bucket.
        models: Vertex AI.
        clock: Tells the time.
        mode: How caches are used.
    """

    def __init__(
        self,
        use_case: str,
        evaluation: Evaluation,
        store: ObjectStore,
        models: VertexAI,
        clock: Clock,
        mode: CacheMode = "reuse",
    ) -> None:
        self.models = models
        self._layout = Layout(use_case)
        self._evaluation = evaluation
        self._store = store
        self._clock = clock
        self._mode = mode
        self._limits: dict[str, AdaptiveLimit] = {}
        self._caches = ExitStack()

    def __enter__(self) -> Services:
        if self._evaluation.judge:
            # Its client takes seconds to import: begin now. No daemon thread, which may be unwound
            # within a C++ library when the interpreter ends, and abort the process.
            threading.Thread(target=self._prepare_judge).start()
        return self

    def _prepare_judge(self) -> None:
        with contextlib.suppress(Exception):  # raised again where the client is used
            _ = self.models.evaluation

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._caches.__exit__(kind, error, traceback)

    def answers(
        self, model: Model, system_instruction: str, questions: Iterable[Contents]
    ) -> RecordCache[Answer]:
        """The cached answers of one configuration to `questions`."""
        keys = [contents_key(contents) for contents in questions]
        return self.cache(model.configuration(system_instruction), Answer, keys)

    def judgements(self, configuration: str) -> RecordCache[Judgement]:
        """The cached ratings of the answers of one configuration."""
        judge = judge_digest(self._evaluation.judge)
        return self.cache(f"judged-{fingerprint(configuration, judge)}", Judgement)

    def cache(
        self, folder: str, record_type: type[R], wanted: Collection[str] | None = None
    ) -> RecordCache[R]:
        """The records in `folder` of the use case's responses.

        Args:
            folder: Below the folder of responses.
            record_type: Type of the records.
            wanted: Fingerprints that will be looked up; any if None.
        """
        prefix = self._layout.responses(folder)
        cache = RecordCache(self._store, prefix, record_type, self._clock, wanted, self._mode)
        return self._caches.enter_context(cache)

    def paid(
        self, cache: RecordCache[R], counter: Counter[R] | None = None, quota: str = "evaluation"
    ) -> PaidService[R]:
        """The service that fills `cache`; all that share a quota share a limit.

        Args:
            cache: What was paid for before.
            counter: Counts what is paid for now.
            quota: Name of the quota that its requests use.
        """
        most = self._evaluation.concurrency
        return PaidService(
            cache,
            self._limits.setdefault(quota, AdaptiveLimit(most)),
            Patience(self._evaluation.request_seconds, self._evaluation.row_seconds),
            counter,
        )

    def answer_in_batch(
        self,
        model: Model,
        system_instruction: str,
        questions: Iterable[Contents],
        service: PaidService[Answer],
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> None:
        """Cache what a batch job answers to `questions`.

        Requests and answers pass through the bucket, or through `warehouse` if the use case says
        so.

        Raises:
            BatchFailedError: the job failed, or is not done in the use case's time.
        """
        location: BatchLocation = CloudStorage(self._store, self._layout.batches)
        if self._evaluation.batch_through == "bigquery":
            location = BigQuery(warehouse, self._layout.batch_tables)
        found = answer_in_batch(
            self.models.genai,
            location,
            model,
            system_instruction,
            questions,
            self._evaluation.batch_wait_seconds,
            self._clock,
            log,
            afresh=self._mode == "refresh",
        )
        for key, answer in found:
            service.keep(key, answer)
