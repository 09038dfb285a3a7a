"""What the assets of evaluation have in common: their pool, their config, their progress."""

import time

import dagster as dg

from genaiops_dagster.evaluation.asking.cache import CacheMode
from genaiops_dagster.evaluation.asking.concurrency import Progress

POOL = "vertex_ai_content"
"""Dagster pool of the steps that use the content quota; limit it to evaluate one at a time."""


class EvaluationConfig(dg.Config):
    """What a run may choose.

    Attributes:
        cache: Use answers and ratings that are kept and pay for the rest (`reuse`), fail if
            something is missing (`strict`), or pay for everything again (`refresh`).
    """

    cache: CacheMode = "reuse"


def log_progress(context: dg.AssetExecutionContext, candidate: str) -> Progress:
    """Logs counts every ten seconds, and at the end."""
    last = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= 10:
            last = time.monotonic()
            context.log.info(f"{candidate}: {done} of {total} rows ({done / total:.0%})")

    return log
