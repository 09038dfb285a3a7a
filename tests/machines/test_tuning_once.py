"""Tuning: one job for a recipe and one bill, whatever is lost on the way."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.genai import errors
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.records.budget import CostEstimate, StageCost
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import TuningJobError
from genaiops_dagster.tuning.tune import TuningRun
from genaiops_dagster.use_case.budget import Budget
from genaiops_dagster.use_case.tuning import Tuning
from tests.machines.cloud import TOKENS
from tests.machines.machine import Machine
from tests.machines.running import run

BASE = "gemini-3.5-flash"
PRICE = 5.0
BUDGET = Budget.model_validate({"prices": {BASE: {"tuning": PRICE}}})
"""The job that the counterpart runs has a million tokens."""

TUNING = Tuning(base_model=BASE, claim_seconds=4.0, wait_seconds=3600.0)
LOG = logging.getLogger(__name__)
RECIPE = TuningRecipe(
    use_case="u",
    base_model=BASE,
    training_uri="gs://bucket/training.jsonl",
    training_digest="data",
    validation_uri=None,
    validation_digest=None,
    prompt_digest="prompt",
    epochs=1,
    learning_rate_multiplier=None,
    adapter_size=None,
)
STAGE = StageCost(
    stage="tuning",
    model=BASE,
    calls=1,
    input_tokens=TOKENS,
    output_tokens=0,
    maximum_output_tokens=0,
    cost_usd=PRICE,
    maximum_usd=PRICE,
)
ESTIMATE = CostEstimate(
    use_case="u",
    training_digest="data",
    evaluation_digest="",
    prompt_digest="prompt",
    stages=[STAGE],
    tokens=TOKENS,
    cost_usd=PRICE,
    maximum_usd=PRICE,
    maximum_tokens=TOKENS,
    error_share=0.0,
    unknown_prices=[],
    emulated=False,
)
FORESEEN = (GoogleAPICallError, errors.APIError, httpx.TransportError, TuningJobError)


class TuningOnce(Machine):
    """Runs that all want the model of one recipe."""

    patience = TUNING.claim_seconds

    @precondition(lambda self: self.has_room)
    @rule(skew=st.sampled_from([0.0, -40.0, 3600.0]))
    def tune(self, skew: float) -> None:
        """A run tunes, or finds what others have tuned."""
        self.begin("tuning", self._task(f"run-{len(self.simulation.workers)}"), skew)

    @precondition(lambda self: not self.simulation.running)
    @rule(turns=st.lists(st.integers(0, 1), min_size=8, max_size=60))
    def tune_together(self, turns: list[int]) -> None:
        """Two runs begin at the same moment."""
        self.tune(0.0)
        self.tune(0.0)
        self.interleave(turns)

    def _task(self, run_id: str) -> Any:
        def task(clock: Clock) -> TunedModel:
            tuning = TuningRun(
                recipe=RECIPE,
                tuning=TUNING,
                estimate=ESTIMATE,
                purse=Purse("u", BUDGET, self.cloud.store, self.cloud.warehouse, clock, run_id),
                models=self.cloud.models,
                log=LOG,
                on_progress=lambda _: None,
            )
            return tuning.finish(tuning.wait(tuning.find_or_create(retry_failed=False)))

        return task

    def holds(self) -> None:
        assert len(self.cloud.tuning.jobs) <= 1, "the same was tuned twice"

    def redo(self) -> None:
        self.simulation.seconds += 3600.0
        last = self.begin("tuning", self._task("last"))
        self.simulation.rest()
        assert isinstance(last.result, TunedModel), last.error

    def holds_at_rest(self) -> None:
        assert len(self.cloud.tuning.jobs) == 1
        month = self.cloud.ledger("u", BUDGET).read()
        assert not [entry for entry in month.entries if entry.reserved_usd], "nobody owns it"
        assert sum(entry.spent_usd for entry in month.entries) == pytest.approx(PRICE)
        recorded = sum(row["cost_usd"] for row in self.cloud.bigquery.rows("spend"))
        assert recorded == pytest.approx(PRICE)
        for worker in self.simulation.workers:
            assert worker.error is None or isinstance(worker.error, FORESEEN), worker.error


def test_tuning_once(histories: int) -> None:
    run(TuningOnce, histories)
