"""Waiting for a pipeline job: as for a tuning job, bounded and safe to leave at any moment."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from genaiops_dagster.pipelines.jobs import PipelineJobs
from genaiops_dagster.pipelines.recipe import PipelineRecipe
from genaiops_dagster.pipelines.states import describe_progress, has_ended
from genaiops_dagster.tuning.pending import HEARTBEAT_SECONDS, mark_pending
from genaiops_dagster.tuning.waiting import wait_until

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import PipelineJob

    from genaiops_dagster.google_cloud.object_store import ObjectStore

FOLDER = "pipelines"
"""Where runs that wait say so, below the use case's folder."""


def wait_for_run(
    jobs: PipelineJobs,
    job: PipelineJob,
    recipe: PipelineRecipe,
    store: ObjectStore,
    seconds: float,
    log: logging.Logger,
    run_id: str,
) -> PipelineJob:
    """Wait for a job; `has_ended` tells whether the time was enough.

    Args:
        jobs: Where its state is asked for.
        job: The job as it was last seen.
        recipe: What it was made of.
        store: Bucket in which the run says that it waits, for the sensor to go on.
        seconds: How long to wait at most.
        log: Where progress is told.
        run_id: The Dagster run that waits.
    """
    asset = ("vertex_pipeline_run", recipe.name)
    said = 0.0

    def tell(seen: PipelineJob) -> None:
        nonlocal said
        if not has_ended(seen) and time.monotonic() - said >= HEARTBEAT_SECONDS:
            mark_pending(store, recipe, seen, asset, run_id, left=False, folder=FOLDER)
            said = time.monotonic()

    def leave() -> None:
        mark_pending(store, recipe, job, asset, run_id, left=True, folder=FOLDER)

    try:
        job = wait_until(
            lambda seen: jobs.get(seen.name),
            job,
            seconds,
            log,
            name=job.name,
            has_ended=has_ended,
            describe=describe_progress,
            on_look=tell,
        )
    except BaseException:
        leave()
        raise
    if not has_ended(job):
        leave()
    return job
