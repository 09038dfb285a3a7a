"""Whether a load test meets a latency objective."""

from __future__ import annotations

from collections.abc import Sequence

from genaiops_dagster.records.serving import StepResult
from genaiops_dagster.use_case.serving import LoadObjective


def check_objective(
    objective: LoadObjective, steps: Sequence[StepResult]
) -> tuple[bool, list[str], float | None]:
    """Whether an objective is met, why, and the worst latency that counted.

    With a rate, the open steps up to the lowest one that reaches it count; else all steps.
    """
    counted = list(steps)
    if objective.rate is not None:
        reached = min(s.rate for s in steps if s.rate is not None and s.rate >= objective.rate)
        counted = [s for s in steps if s.rate is not None and s.rate <= reached]
    reasons, worst = [], 0.0
    for step in counted:
        found = getattr(step.latency, f"p{objective.percentile}")
        if found is None:
            return False, [f"{step.load}: nothing was answered"], None
        worst = max(worst, found)
        if found > objective.at_most_seconds:
            reasons.append(f"{step.load}: p{objective.percentile} is {found:.3g} s")
        if step.error_rate > objective.error_rate:
            reasons.append(f"{step.load}: {step.failed} of {step.requests} requests failed")
    if reasons:
        return False, reasons, worst
    return True, [f"p{objective.percentile} is at most {worst:.3g} s"], worst


def reaches(objective: LoadObjective, steps: Sequence[StepResult]) -> bool:
    """Whether some step sent as much as the objective asks for."""
    rates = [step.rate for step in steps if step.rate is not None]
    return bool(steps) and (objective.rate is None or max(rates, default=0.0) >= objective.rate)
