"""One evaluation under way: its clients, caches and limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from genaiops_dagster.evaluation.asking.batch import answer_in_batch
from genaiops_dagster.evaluation.asking.batch_places import BatchPlace, BigQuery, CloudStorage
from genaiops_dagster.evaluation.asking.cache import CacheMode, RecordCache
from genaiops_dagster.evaluation.asking.concurrency import AdaptiveLimit, PaidService, Patience
from genaiops_dagster.evaluation.asking.inference import (
    CachedPrefix,
    Contents,
    Model,
    Responder,
    content_config,
    contents_key,
)
from genaiops_dagster.evaluation.judging.judge import JudgePanel, judge_digest
from genaiops_dagster.evaluation.judging.pairwise import PairwiseJudge
from genaiops_dagster.evaluation.scoring.service_metrics import Texts, score_by_service
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.evaluation import Answer, Choice, Judgement, RowResult
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.evaluation import Judge, PairwiseMetric

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Session:
    """Gives models and judge to one evaluation; a context manager after which all is written.

    Args:
        use_case: Whose limits, judge and cache folder apply.
        store: The bucket.
        vertex_ai: Vertex AI.
        mode: How caches are used.
        log: Told of long waits.
    """

    def __init__(
        self,
        use_case: UseCase,
        store: ObjectStore,
        vertex_ai: VertexAI,
        mode: CacheMode,
        log: logging.Logger,
    ) -> None:
        self.vertex_ai = vertex_ai
        self._log = log
        self._use_case = use_case
        self._store = store
        self._mode = mode
        self._most = use_case.evaluation.concurrency
        self._limits: dict[str, AdaptiveLimit] = {}
        self._caches = ExitStack()

    def __enter__(self) -> Session:
        if self._use_case.evaluation.judge:
            # Its client takes seconds to import: begin now. No daemon thread, which may be unwound
            # within a C++ library when the interpreter ends, and abort the process.
            threading.Thread(target=self._prepare_judge).start()
        return self

    def _prepare_judge(self) -> None:
        with contextlib.suppress(Exception):  # raised again where the client is used
            _ = self.vertex_ai.evaluation

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._caches.__exit__(kind, error, traceback)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, in an event loop with a client of its own."""

        async def connected() -> T:
            async with self.vertex_ai.genai_in_loop() as self._client:
                return await work()

        return asyncio.run(connected())

    def answers(
        self, model: Model, system_instruction: str, questions: Iterable[Contents]
    ) -> PaidService[Answer]:
        """The paid answers of one configuration to `questions`."""
        folder = model.configuration(system_instruction)
        keys = [contents_key(contents) for contents in questions]
        return self.service(folder, Answer, quota=model.base_model, wanted=keys)

    def judgements(self, configuration: str) -> PaidService[Judgement]:
        """The paid ratings of the answers of one configuration."""
        judge = self._use_case.evaluation.judge
        folder = f"judged-{fingerprint(configuration, judge_digest(judge))}"
        return self.service(folder, Judgement, quota="evaluation")

    def responder(
        self,
        model: Model,
        system_instruction: str,
        answers: PaidService[Answer],
        prefix: CachedPrefix | None = None,
    ) -> Responder:
        """`model`, to be asked within `run`; of `prefix` the service knows already."""
        config = content_config(system_instruction, model.generation, model.filters)
        return Responder(self._client, model.address, config, answers, prefix)

    def answer_in_batch(
        self,
        model: Model,
        system_instruction: str,
        questions: Iterable[Contents],
        answers: PaidService[Answer],
        warehouse: Warehouse,
    ) -> None:
        """Keep what a batch job answers to `questions`, whose answers may pass through BigQuery.

        Raises:
            BatchFailedError: the job failed, or is not done in the use case's time.
        """
        place: BatchPlace = CloudStorage(self._store, Layout(self._use_case.name).batches)
        if self._use_case.evaluation.batch_through == "bigquery":
            place = BigQuery(warehouse, Layout(self._use_case.name).batch_tables)
        found = answer_in_batch(
            self.vertex_ai.genai,
            place,
            model,
            system_instruction,
            questions,
            self._use_case.evaluation.batch_wait_seconds,
            self._log,
            afresh=self._mode == "refresh",
        )
        for key, answer in found:
            answers.keep(key, answer)

    async def score_by_service(
        self,
        rows: Sequence[RowResult],
        metrics: Collection[str],
        on_paid: Callable[[Sequence[Texts]], None],
    ) -> list[RowResult]:
        """Rows with the evaluation service's scores in `metrics`; `on_paid` hears what it read."""
        if not metrics:
            return list(rows)
        service = self.service("computed", Judgement, quota="evaluation")
        return await score_by_service(
            rows,
            metrics,
            lambda: self.vertex_ai.evaluation,
            self.vertex_ai.parent,
            service,
            on_paid,
        )

    def panel(self, judge: Judge, judgements: PaidService[Judgement]) -> JudgePanel:
        """The judge, to be asked within `run`."""
        return JudgePanel(
            judge,
            lambda: self.vertex_ai.evaluation,
            self.vertex_ai.parent,
            self.vertex_ai.model_address(judge.model),
            judgements,
        )

    def pairwise_judge(
        self, judge: Judge, metric: PairwiseMetric, choices: PaidService[Choice]
    ) -> PairwiseJudge:
        """The judge of pairs, to be asked within `run`."""
        return PairwiseJudge(
            judge,
            metric,
            lambda: self.vertex_ai.evaluation,
            self.vertex_ai.parent,
            self.vertex_ai.model_address(judge.model),
            choices,
        )

    def service(
        self,
        folder: str,
        record_type: type[R],
        *,
        quota: str,
        wanted: Collection[str] | None = None,
    ) -> PaidService[R]:
        """A paid service whose records are kept in `folder`; all that share a quota share a limit.

        Args:
            folder: Below the use case's folder of responses.
            record_type: What the service gives.
            quota: Name of the quota that its requests use.
            wanted: Fingerprints that will be asked for; None: any.
        """
        evaluation = self._use_case.evaluation
        cache = RecordCache(
            self._store,
            Layout(self._use_case.name).responses(folder),
            record_type,
            wanted,
            self._mode,
        )
        return PaidService(
            self._caches.enter_context(cache),
            self._limits.setdefault(quota, AdaptiveLimit(self._most)),
            Patience(evaluation.request_seconds, evaluation.row_seconds),
        )
