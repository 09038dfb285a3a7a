"""The paid services of one evaluation: their caches, and a limit for each quota."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from functools import cached_property
from typing import Any, TypeVar

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.asking.batch import BatchFailedError, answer_in_batch
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
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.records.claims import Claim
from genaiops_dagster.records.evaluation import Answer, Judgement
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import measured
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case.evaluation import Evaluation

R = TypeVar("R", bound=Record)

_CREATION_SECONDS = 60.0
"""How long the claim to create a batch job stands."""


class Services:
    """Opens caches and paid services; a context manager after which every record is written.

    Args:
        evaluation: Limits, deadlines and judge.
        models: Vertex AI.
        purse: Pays, and names the use case, its bucket and its dataset. What a killed process paid
            for is settled when its records are found.
        mode: How caches are used.
    """

    def __init__(
        self, evaluation: Evaluation, models: VertexAI, purse: Purse, mode: CacheMode = "reuse"
    ) -> None:
        self.evaluation = evaluation
        self.models = models
        self.purse = purse
        self._layout = Layout(purse.use_case)
        self._mode = mode
        self._limits: dict[str, AdaptiveLimit] = {}
        self._caches = ExitStack()
        self._opened: dict[str, list[RecordCache[Any]]] = {}

    def __enter__(self) -> Services:
        if self.evaluation.judge:
            # Its client takes seconds to import: begin now. No daemon thread, which may be unwound
            # within a C++ library when the interpreter ends, and abort the process.
            threading.Thread(target=self._prepare_judge).start()
        return self

    def _prepare_judge(self) -> None:
        with contextlib.suppress(Exception):  # raised again where the client is used
            _ = self.models.evaluation

    def __exit__(self, *_: object) -> None:
        self._caches.close()

    @cached_property
    def _measured(self) -> dict[str, str]:
        return measured(self.purse.store, self.purse.use_case)

    def answers(
        self, model: Model, system_instruction: str, questions: Iterable[Contents]
    ) -> RecordCache[Answer]:
        """The cached answers of one configuration to `questions`."""
        keys = [contents_key(contents) for contents in questions]
        return self.cache(model.configuration(system_instruction), Answer, keys)

    def judgements(self, configuration: str) -> RecordCache[Judgement]:
        """The cached ratings of the answers of one configuration."""
        judge = judge_digest(self.evaluation.judge)
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
        store, clock = self.purse.store, self.purse.clock
        anchored = self._measured.get(_subject(folder), "")
        cache = RecordCache(store, prefix, record_type, clock, wanted, self._mode, anchored)
        self._caches.enter_context(cache)
        self._opened.setdefault(folder, []).append(cache)
        self.purse.settle(cache.receipts, emulated=self.models.emulated)
        return cache

    def manifests(self) -> dict[str, str]:
        """Digests of all that was cached, once it is written, by subject."""
        found = {}
        for folder, caches in self._opened.items():
            segments = {name: sha for cache in caches for name, sha in cache.segments.items()}
            found[_subject(folder)] = caches[0].write_manifest(segments)
        return found

    def paid(
        self, cache: RecordCache[R], counter: Counter[R] | None = None, quota: str = "evaluation"
    ) -> PaidService[R]:
        """The service that fills `cache`; all that share a quota share a limit.

        Args:
            cache: What was paid for before.
            counter: Counts what is paid for now.
            quota: Name of the quota that its requests use.
        """
        evaluation = self.evaluation
        return PaidService(
            cache,
            self._limits.setdefault(quota, AdaptiveLimit(evaluation.concurrency)),
            Patience(evaluation.request_seconds, evaluation.row_seconds),
            counter,
        )

    def answer_in_batch(
        self,
        model: Model,
        system_instruction: str,
        questions: Iterable[Contents],
        service: PaidService[Answer],
        log: logging.Logger,
    ) -> None:
        """Cache what a batch job answers to `questions`, asked where the model is registered.

        Requests and answers pass through the bucket, or through BigQuery if the use case says so.

        Raises:
            BatchFailedError: the job failed, or is not done in the use case's time; or the model
                is a checkpoint, which no batch job can ask.
        """
        if model.in_batch is None:
            raise BatchFailedError(f"{model.address} is in no registry: no batch job can ask it")
        location: BatchLocation = CloudStorage(self.purse.store, self._layout.batches)
        if self.evaluation.batch_through == "bigquery":
            location = BigQuery(self.purse.warehouse, self._layout.batch_tables)
        found = answer_in_batch(
            self.models.serving(model.in_batch).genai,
            location,
            dataclasses.replace(model, address=self.models.served_address(model.in_batch)),
            system_instruction,
            questions,
            self.evaluation.batch_wait_seconds,
            self._batch_claim,
            log,
            afresh=self._mode == "refresh",
        )
        for key, answer in found:
            service.keep(key, answer)

    def _batch_claim(self, job: str) -> Claim:
        name = self._layout.batch_claim(job)
        return Claim(self.purse.store, name, _CREATION_SECONDS, self.purse.clock)


def _subject(folder: str) -> str:
    """Name of a folder of cached records in the measurement log."""
    return f"responses/{folder}"
