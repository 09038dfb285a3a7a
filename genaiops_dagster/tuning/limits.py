"""When a job that is under way must be cancelled: its deadline, or what it turns out to cost."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from genaiops_dagster.budget.pricing import tuning_cost
from genaiops_dagster.tuning.states import has_ended
from genaiops_dagster.tuning.statistics import statistics_of
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from google.genai import types


def reason_to_cancel(use_case: UseCase, job: types.TuningJob, now: dt.datetime) -> str | None:
    """Why a job may not go on; None when it may.

    The service tells how many tokens it bills once it has read the data, long before the job ends.

    Args:
        use_case: Its deadline, prices and budget.
        job: As the service describes it now.
        now: The present moment, with a zone.
    """
    if has_ended(job) or job.state is None or job.state.value == "JOB_STATE_CANCELLING":
        return None
    deadline = use_case.tuning.deadline_seconds
    age = (now - job.create_time).total_seconds() if job.create_time else 0.0
    if deadline is not None and age > deadline:
        return f"it is {age:.0f} s old and has not ended; tuning.deadline_seconds is {deadline}"
    tokens = statistics_of(job).billed_tokens
    budget = use_case.budget
    usd = (
        None
        if tokens is None
        else tuning_cost(
            use_case.tuning.base_model, tokens, method=use_case.tuning.method, prices=budget.prices
        )
    )
    if usd is not None and usd > budget.per_run_usd:
        return f"it costs {usd:.2f} USD; budget.per_run_usd is {budget.per_run_usd:.2f}"
    if tokens is not None and budget.per_run_tokens and tokens > budget.per_run_tokens:
        return f"it trains on {tokens} tokens; budget.per_run_tokens is {budget.per_run_tokens}"
    return None
