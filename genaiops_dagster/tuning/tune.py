"""One use case's tuning, from what may be spent to what was: the steps of the asset."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.budget.limits import (
    BudgetExceededError,
    require_current,
    require_within_budget,
    sweep_refusals,
)
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.budget.spend import Spend, record_spend
from genaiops_dagster.google_cloud.base_models import require_available
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.tuning import TunedModel, tuned_model_path
from genaiops_dagster.tuning.cancellation import cancel_job, cancel_reason
from genaiops_dagster.tuning.jobs import TuningJobs
from genaiops_dagster.tuning.limits import reason_to_cancel
from genaiops_dagster.tuning.outcome import tuned_model_of
from genaiops_dagster.tuning.pending import PendingNote
from genaiops_dagster.tuning.progress import Progress, ProgressReader
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import has_ended
from genaiops_dagster.tuning.waiting import tuning_jobs, wait_for
from genaiops_dagster.use_case.tuning import Tuning

if TYPE_CHECKING:
    from google.genai import types

    from genaiops_dagster.google_cloud.vertex_ai import VertexAI


@dataclass(frozen=True, kw_only=True)
class TuningRun:
    """One Dagster run's part in the tuning of a recipe.

    Attributes:
        recipe: What to tune.
        variant: Variant of the sweep; None for the tuned model.
        tuning: Sweep, patience and deadline.
        estimate: What the whole run may cost.
        purse: Pays, keeps the time, and has the bucket of records and claims.
        models: Vertex AI.
        log: Receives progress.
        on_progress: Called at each change while the job goes on.
    """

    recipe: TuningRecipe
    variant: str | None = None
    tuning: Tuning
    estimate: CostEstimate
    purse: Purse
    models: VertexAI
    log: logging.Logger
    on_progress: Callable[[Progress], None]

    @property
    def work(self) -> str:
        """Name of the job in the ledger."""
        return f"tuning/{self.recipe.fingerprint}"

    @property
    def own_estimate(self) -> CostEstimate:
        """The highest cost of the job alone."""
        return self.estimate.of_stages("tuning", candidate=self.variant or "")

    def find_or_create(self, *, retry_failed: bool) -> types.TuningJob:
        """The recipe's job; its price is reserved before one is created.

        Raises:
            BudgetExceededError: a job would have to be paid, and may not be.
            RetiredModelError: a job would have to be paid, and its base model is gone.
            TuningJobError: it is not known whether a job was created.
        """
        purse = self.purse
        jobs = TuningJobs(
            self.models.genai, purse.store, purse.clock, self.log, self.tuning.claim_seconds
        )
        try:
            return jobs.get_or_create(
                self.recipe, before_create=self._reserve, retry_failed=retry_failed
            )
        except Exception:
            found = jobs.find(self.recipe)
            if found is None or has_ended(found):
                purse.ledger().release(self.work, purse.run_id)
            raise

    def wait(self, job: types.TuningJob) -> types.TuningJob:
        """Wait as long as the use case allows; `has_ended` says whether that was enough.

        A job that passes its deadline or costs too much is cancelled, and waited for still. A run
        that is cancelled leaves the job alone unless the use case says otherwise.
        """
        purse = self.purse
        reader = ProgressReader(self.models.settings, purse.clock, self.log)
        reported: Progress | None = None

        def describe(seen: types.TuningJob) -> str:
            nonlocal reported
            progress = reader.read(seen)
            if progress != reported and not has_ended(seen):
                self.on_progress(progress)
            reported = progress
            return str(progress)

        def cancel_in_time(seen: types.TuningJob) -> None:
            reason = reason_to_cancel(seen, self.tuning, purse.budget, purse.clock.now())
            if reason is not None:
                self._cancel(seen, reason)

        try:
            return wait_for(
                job,
                tuning_jobs(self.models.genai, describe),
                self.tuning.wait_seconds,
                purse.clock,
                self.log,
                self._note(),
                on_look=cancel_in_time,
            )
        except BaseException:
            if self.tuning.cancel_with_run:
                self._cancel(job, "the run was cancelled")
            raise

    def finish(self, job: types.TuningJob) -> TunedModel:
        """The model of a job that has ended; its price is in the ledger and in the table `spend`.

        Raises:
            TuningJobError: the job made no usable model.
        """
        purse = self.purse
        self._note().clear()
        ledger = purse.ledger((job.create_time or purse.clock.now()).strftime("%Y-%m"))
        try:
            model = tuned_model_of(
                job,
                self.recipe,
                prices=purse.prices(),
                emulated=self.models.emulated,
                cancelled_because=cancel_reason(purse.store, purse.use_case, job.name or ""),
            )
        except Exception:
            ledger.settle_once(self.work, purse.run_id, 0.0, 0)
            raise
        expected, usd, tokens = self.own_estimate, model.cost_usd, model.billable_tokens
        ledger.settle_once(
            self.work,
            purse.run_id,
            expected.cost_usd if usd is None else usd,  # unknown is not free
            expected.tokens if tokens is None else tokens,
        )
        payment = Spend(
            id=model.job,  # so that a job is counted once
            use_case=purse.use_case,
            stage="tuning",
            run_id=purse.run_id,
            model=model.base_model,
            requests=1,
            input_tokens=tokens or 0,
            output_tokens=0,
            cost_usd=usd,
            emulated=model.emulated,
        )
        record_spend(purse.warehouse, [payment], purse.clock.now())
        return model

    def _note(self) -> PendingNote:
        purse, asset = self.purse, tuned_model_path(self.variant)
        return PendingNote(purse.store, self.recipe, asset, purse.run_id, purse.clock)

    def _reserve(self) -> None:
        require_available(self.recipe.base_model, self.purse.clock.today())
        require_current(
            self.estimate,
            training_digest=self.recipe.training_digest,
            prompt_digest=self.recipe.prompt_digest,
        )
        require_within_budget(self.estimate, self.purse.budget)
        over = sweep_refusals(self.estimate, self.tuning.sweep) if self.variant else []
        if over:
            raise BudgetExceededError("\n".join(over))
        self.purse.ledger().reserve(self.work, self.purse.run_id, self.own_estimate)

    def _cancel(self, job: types.TuningJob, reason: str) -> None:
        """Cancel the job; it ends a little later, and its error says why."""
        purse, client = self.purse, self.models.genai
        cancel_job(client, purse.store, purse.use_case, job.name or "", reason, self.log)
