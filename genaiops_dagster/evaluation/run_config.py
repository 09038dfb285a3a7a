"""Shared by assets that ask models: pool, config, progress and purse."""

import dagster as dg

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.asking.cache import CacheMode
from genaiops_dagster.orchestration.workspace import Workspace

POOL = "vertex_ai_content"
"""Dagster pool of the steps that use the content quota; limit it to evaluate one at a time."""


class EvaluationConfig(dg.Config):
    """The choices of a run.

    Attributes:
        cache: Use cached answers and ratings and pay for the rest (`reuse`), fail if
            something is missing (`strict`), or pay for everything again (`refresh`).
    """

    cache: CacheMode = "reuse"


def purse_of(
    here: Workspace, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext
) -> Purse:
    """The purse of the run of `context`."""
    use_case = here.use_case
    return Purse(
        use_case.name, use_case.budget, here.store, here.warehouse, here.clock, context.run.run_id
    )
