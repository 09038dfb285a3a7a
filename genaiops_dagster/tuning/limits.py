"""When a job that is under way must be cancelled: its deadline, or what it turns out to cost."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from genaiops_dagster.budget.pricing import PriceList, tuning_cost
from genaiops_dagster.tuning.states import has_ended
from genaiops_dagster.tuning.statistics import statistics_of
from genaiops_dagster.use_case.budget import Budget
from genaiops_dagster.use_case.tuning import Tuning

if TYPE_CHECKING:
    from google.genai import types


def reason_to_cancel(
    job: types.TuningJob, tuning: Tuning, budget: Budget, now: dt.datetime
) -> str | None:
    """Why a job may not go on; None if it may.

    The service says how many tokens it bills once it has read the data, long before the job ends.
    """
    if has_ended(job) or job.state is None or job.state.value == "JOB_STATE_CANCELLING":
        return None
    deadline = tuning.deadline_seconds
    age = (now - job.create_time).total_seconds() if job.create_time else 0.0
    if deadline is not None and age > deadline:
        return f"it is {age:.0f} s old and has not ended; tuning.deadline_seconds is {deadline}"
    tokens = statistics_of(job).billed_tokens
    usd = (
        None
        if tokens is None
        else tuning_cost(
            tuning.base_model, tokens, method=tuning.method, prices=PriceList(now, budget.prices)
        )
    )
    if usd is not None and usd > budget.per_run_usd:
        return f"it costs {usd:.2f} USD; budget.per_run_usd is {budget.per_run_usd:.2f}"
    if tokens is not None and budget.per_run_tokens and tokens > budget.per_run_tokens:
        return f"it trains on {tokens} tokens; budget.per_run_tokens is {budget.per_run_tokens}"
    return None
