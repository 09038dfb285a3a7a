"""One use case's tuning, from what may be spent to what was: the steps of the asset."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.budget.limits import (
    BudgetExceededError,
    require_current,
    require_within_budget,
    sweep_refusals,
)
from genaiops_dagster.google_cloud.base_models import require_available
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.tuning.cancellation import cancel_job, cancel_reason
from genaiops_dagster.tuning.jobs import TuningJobs
from genaiops_dagster.tuning.limits import reason_to_cancel
from genaiops_dagster.tuning.outcome import tuned_model_of
from genaiops_dagster.tuning.pending import HEARTBEAT_SECONDS, clear_pending, mark_pending
from genaiops_dagster.tuning.progress import Progress, ProgressReader
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import has_ended
from genaiops_dagster.tuning.waiting import wait_for_job
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from google.genai import types

    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI


@dataclass
class TuningRun:
    """One Dagster run's part in the tuning of a recipe.

    Attributes:
        use_case: Limits, prices and patience.
        recipe: What to tune.
        estimate: What a run may cost.
        clients: Vertex AI.
        store: Bucket of records, claims and ledger.
        log: Where progress is told.
        run_id: The Dagster run.
        variant: Variant of the sweep; None for the tuned model.
        on_progress: Told of each change while the job goes on.
    """

    use_case: UseCase
    recipe: TuningRecipe
    estimate: CostEstimate
    clients: VertexAI
    store: ObjectStore
    log: logging.Logger
    run_id: str
    variant: str | None = None
    on_progress: Callable[[Progress], None] = lambda _: None

    @property
    def asset(self) -> tuple[str, ...]:
        """Name of the asset that the job makes, in its use case."""
        return ("tuned_model", self.variant) if self.variant else ("tuned_model",)

    @property
    def work(self) -> str:
        """What the ledger calls the job."""
        return f"tuning/{self.recipe.fingerprint}"

    def find_or_create(self, *, retry_failed: bool) -> types.TuningJob:
        """The recipe's job; its price is reserved before one is created.

        Raises:
            BudgetExceededError: a job would have to be paid, and may not be.
            RetiredModelError: a job would have to be paid, and its base model is gone.
            TuningJobError: it is not known whether a job was created.
        """
        jobs = TuningJobs(
            self.clients.genai, self.store, self.log, self.use_case.tuning.claim_seconds
        )
        try:
            return jobs.get_or_create(
                self.recipe, before_create=self._reserve, retry_failed=retry_failed
            )
        except Exception:
            found = jobs.find(self.recipe)
            if found is None or has_ended(found):
                self._ledger().release(self.work, self.run_id)
            raise

    def wait(self, job: types.TuningJob) -> types.TuningJob:
        """Wait as long as the use case allows; `has_ended` tells whether that was enough.

        A job that passes its deadline or costs too much is cancelled, and waited for still. A run
        that is cancelled leaves the job alone unless the use case says otherwise.
        """
        watch = _Watch(self)
        try:
            job = wait_for_job(
                self.clients.genai,
                job,
                self.use_case.tuning.wait_seconds,
                self.log,
                on_look=watch.look,
                describe=watch.describe,
            )
        except BaseException:
            if self.use_case.tuning.cancel_with_run:
                self.cancel(job, "the run was cancelled")
            mark_pending(self.store, self.recipe, job, self.asset, self.run_id, left=True)
            raise
        if not has_ended(job):
            mark_pending(self.store, self.recipe, job, self.asset, self.run_id, left=True)
        return job

    def finish(self, job: types.TuningJob) -> TunedModel:
        """The model of a job that has ended, with its price in the ledger.

        Raises:
            TuningJobError: the job made no usable model.
        """
        clear_pending(self.store, self.use_case.name, self.recipe.fingerprint)
        created = job.create_time or dt.datetime.now(dt.UTC)
        ledger = self._ledger(created.strftime("%Y-%m"))
        try:
            model = tuned_model_of(
                job,
                self.recipe,
                prices=self.use_case.budget.prices,
                emulated=self.clients.emulated,
                cancelled_because=cancel_reason(self.store, self.use_case.name, job.name or ""),
            )
        except Exception:
            ledger.settle_once(self.work, self.run_id, 0.0, 0)
            raise
        expected = self.estimate.of_stages("tuning", candidate=self.variant or "")
        usd, tokens = model.cost_usd, model.billable_tokens
        ledger.settle_once(
            self.work,
            self.run_id,
            expected.cost_usd if usd is None else usd,  # what the service does not tell is not free
            expected.tokens if tokens is None else tokens,
        )
        return model

    def _reserve(self) -> None:
        require_available(self.recipe.base_model, dt.datetime.now(dt.UTC).date())
        require_current(
            self.estimate,
            training_digest=self.recipe.training_digest,
            prompt_digest=self.recipe.prompt_digest,
        )
        require_within_budget(self.estimate, self.use_case.budget)
        over = sweep_refusals(self.estimate, self.use_case.tuning.sweep) if self.variant else []
        if over:
            raise BudgetExceededError("\n".join(over))
        self._ledger().reserve(
            self.work, self.run_id, self.estimate.of_stages("tuning", candidate=self.variant or "")
        )

    def _ledger(self, month: str | None = None) -> Ledger:
        return Ledger(self.store, self.use_case.name, self.use_case.budget, month)

    def cancel(self, job: types.TuningJob, reason: str) -> None:
        """Cancel the job; it ends a little later, and its error says why."""
        self.log.warning("Cancelling tuning job %s: %s", job.name, reason)
        cancel_job(self.clients.genai, self.store, self.use_case.name, job.name or "", reason)


class _Watch:
    """What is done at each look: say that the run waits and how far the job is, cancel in time."""

    def __init__(self, run: TuningRun) -> None:
        self._run = run
        self._said = 0.0
        self._reader = ProgressReader(run.clients.settings, run.log)
        self._told: Progress | None = None

    def describe(self, job: types.TuningJob) -> str:
        """The job's progress in words; who asked to be told is told of a change."""
        progress = self._reader.read(job)
        if progress != self._told and not has_ended(job):
            self._run.on_progress(progress)
        self._told = progress
        return str(progress)

    def look(self, job: types.TuningJob) -> None:
        """Say that the run waits, and cancel the job if it may not go on."""
        run = self._run
        reason = reason_to_cancel(run.use_case, job, dt.datetime.now(dt.UTC))
        if reason is not None:
            run.cancel(job, reason)
        if not has_ended(job) and time.monotonic() - self._said >= HEARTBEAT_SECONDS:
            mark_pending(run.store, run.recipe, job, run.asset, run.run_id, left=False)
            self._said = time.monotonic()
