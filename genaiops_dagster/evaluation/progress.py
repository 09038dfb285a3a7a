"""What assets that ask models have in common: pool, config, progress and purse."""

import dagster as dg

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.asking.cache import CacheMode
from genaiops_dagster.evaluation.asking.concurrency import Progress
from genaiops_dagster.orchestration.workspace import Workspace
from genaiops_dagster.records.clock import Clock

POOL = "vertex_ai_content"
"""Dagster pool of the steps that use the content quota; limit it to evaluate one at a time."""


class EvaluationConfig(dg.Config):
    """What a run may choose.

    Attributes:
        cache: Use cached answers and ratings and pay for the rest (`reuse`), fail if
            something is missing (`strict`), or pay for everything again (`refresh`).
    """

    cache: CacheMode = "reuse"


def purse_of(here: Workspace, context: dg.AssetExecutionContext) -> Purse:
    """What the run of `context` pays with."""
    use_case = here.use_case
    return Purse(
        use_case.name, use_case.budget, here.store, here.warehouse, here.clock, context.run.run_id
    )


def log_progress(context: dg.AssetExecutionContext, subject: str, clock: Clock) -> Progress:
    """Logs how many rows of `subject` are done, every ten seconds and at the end."""
    last = clock.elapsed()

    def log(done: int, total: int) -> None:
        nonlocal last
        if done == total or clock.elapsed() - last >= 10:
            last = clock.elapsed()
            context.log.info(f"{subject}: {done} of {total} rows ({done / total:.0%})")

    return log
