"""One use case's tuning, from what may be spent to what was: the steps of the asset."""

from __future__ import annotations

import logging
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
from genaiops_dagster.budget.pricing import PriceList
from genaiops_dagster.google_cloud.base_models import require_available
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.tuning.cancellation import cancel_job, cancel_reason
from genaiops_dagster.tuning.jobs import TuningJobs
from genaiops_dagster.tuning.limits import reason_to_cancel
from genaiops_dagster.tuning.outcome import tuned_model_of
from genaiops_dagster.tuning.pending import PendingNote, clear_pending
from genaiops_dagster.tuning.progress import Progress, ProgressReader
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import has_ended
from genaiops_dagster.tuning.waiting import tuning_jobs, wait_for
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
        store: Bucket of records, claims and ledger.
        models: Vertex AI.
        clock: Tells the time.
        log: Receives progress.
        run_id: The Dagster run.
        variant: Variant of the sweep; None for the tuned model.
        on_progress: Called at each change while the job goes on.
    """

    use_case: UseCase
    recipe: TuningRecipe
    estimate: CostEstimate
    store: ObjectStore
    models: VertexAI
    clock: Clock
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
            self.models.genai,
            self.store,
            self.clock,
            self.log,
            self.use_case.tuning.claim_seconds,
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
            return wait_for(
                job,
                tuning_jobs(self.models.genai, watch.describe),
                self.use_case.tuning.wait_seconds,
                self.clock,
                self.log,
                PendingNote(self.store, self.recipe, self.asset, self.run_id, self.clock),
                on_look=watch.look,
            )
        except BaseException:
            if self.use_case.tuning.cancel_with_run:
                self.cancel(job, "the run was cancelled")
            raise

    def finish(self, job: types.TuningJob) -> TunedModel:
        """The model of a job that has ended, with its price in the ledger.

        Raises:
            TuningJobError: the job made no usable model.
        """
        clear_pending(self.store, self.use_case.name, self.recipe.fingerprint)
        created = job.create_time or self.clock.now()
        ledger = self._ledger(created.strftime("%Y-%m"))
        try:
            model = tuned_model_of(
                job,
                self.recipe,
                prices=PriceList(self.clock.now(), self.use_case.budget.prices),
                emulated=self.models.emulated,
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
            expected.cost_usd if usd is None else usd,  # unknown is not free
            expected.tokens if tokens is None else tokens,
        )
        return model

    def _reserve(self) -> None:
        require_available(self.recipe.base_model, self.clock.today())
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
        return Ledger(self.store, self.use_case.name, self.use_case.budget, self.clock, month)

    def cancel(self, job: types.TuningJob, reason: str) -> None:
        """Cancel the job; it ends a little later, and its error says why."""
        self.log.warning("Cancelling tuning job %s: %s", job.name, reason)
        cancel_job(self.models.genai, self.store, self.use_case.name, job.name or "", reason)


class _Watch:
    """What is done at each look: report how far the job is, and cancel it in time."""

    def __init__(self, run: TuningRun) -> None:
        self._run = run
        self._reader = ProgressReader(run.models.settings, run.clock, run.log)
        self._reported: Progress | None = None

    def describe(self, job: types.TuningJob) -> str:
        """The job's progress in words; reports it if it has changed."""
        progress = self._reader.read(job)
        if progress != self._reported and not has_ended(job):
            self._run.on_progress(progress)
        self._reported = progress
        return str(progress)

    def look(self, job: types.TuningJob) -> None:
        """Cancel the job if it may not go on."""
        run = self._run
        reason = reason_to_cancel(job, run.use_case.tuning, run.use_case.budget, run.clock.now())
        if reason is not None:
            run.cancel(job, reason)
