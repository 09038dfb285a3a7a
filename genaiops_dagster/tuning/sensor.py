"""A run that left its tuning job is continued when the job has ended."""

import datetime as dt
import time
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import dagster as dg

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.resources import ObjectStoreResource, VertexAIResource
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.tuning.cancellation import cancel_job
from genaiops_dagster.tuning.limits import reason_to_cancel
from genaiops_dagster.tuning.pending import TUNING, pending_jobs
from genaiops_dagster.tuning.progress import progress_of
from genaiops_dagster.tuning.states import has_ended, state_name
from genaiops_dagster.use_case import UseCase

_MOST_JOBS = 20
"""Jobs that one tick looks at; a tick may take a minute."""

_TAG_CHARACTERS = 63
"""Longest value of a tag that Dagster takes."""


class JobSeen(NamedTuple):
    """What the service says of a job.

    Attributes:
        state: Name of its state.
        ended: Whether that is its last one.
        progress: How far it is, in words.
    """

    state: str
    ended: bool
    progress: str


def build_sensor(use_case: UseCase, job_name: str) -> dg.SensorDefinition:
    """Sensor that requests the rest of a run of `job_name` once its tuning job has ended.

    It also keeps the deadline and the money limit of jobs for which nobody waits.
    """

    @dg.sensor(
        name=f"{use_case.name}_tuning",
        job_name=job_name,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Goes on with a run whose tuning job took longer than the run waited.",
    )
    def tuning_ended(
        context: dg.SensorEvaluationContext,
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
    ) -> dg.SensorResult | dg.SkipReason:
        store, client = object_store.get_store(), vertex_ai.get_clients().genai

        def look(name: str) -> JobSeen:
            found = client.tunings.get(name=name)
            reason = reason_to_cancel(use_case, found, dt.datetime.now(dt.UTC))
            if reason is not None:
                context.log.warning(f"Cancelling tuning job {name}: {reason}")
                cancel_job(client, store, use_case.name, name, reason)
            return JobSeen(state_name(found), has_ended(found), str(progress_of(found)))

        return continue_runs(context, use_case, store, "tuning_job", look)

    definition: dg.SensorDefinition = tuning_ended
    return definition


def continue_runs(
    context: dg.SensorEvaluationContext,
    use_case: UseCase,
    store: ObjectStore,
    kind: str,
    look: Callable[[str], JobSeen],
    folder: str = TUNING,
) -> dg.SensorResult | dg.SkipReason:
    """Request the rest of every run that left its job, once the job has ended.

    Args:
        context: Of the sensor's tick.
        use_case: Whose jobs.
        store: Bucket in which runs say what they wait for.
        kind: What such a job is called in the tag of a run.
        look: Asks the service for a job by its name.
        folder: Where runs say what they wait for, below the use case's folder.
    """
    requests, told = [], []
    for pending in islice(pending_jobs(store, use_case.name, folder), _MOST_JOBS):
        if not pending.is_abandoned(time.time()):
            told.append(f"{pending.job}: run {pending.run_id} waits for it")
            continue
        seen = look(pending.job)
        if not seen.ended:
            told.append(f"{pending.job}: {seen.progress}")
            continue
        requests.append(
            dg.RunRequest(
                run_key=f"{pending.job}:{seen.state}",
                tags={f"genaiops/{kind}": pending.job.rsplit("/", 1)[-1][:_TAG_CHARACTERS]},
                asset_selection=rest_of_run(context, use_case, pending.asset),
            )
        )
    if not requests:
        return dg.SkipReason("; ".join(told) or f"no {kind.replace('_', ' ')} is pending")
    return dg.SensorResult(run_requests=requests)


def rest_of_run(
    context: dg.SensorEvaluationContext, use_case: UseCase, asset: tuple[str, ...]
) -> list[dg.AssetKey]:
    """The asset whose job has ended, and what comes after it: its data stays as it is.

    What has a run for each day is left to that: a run goes on without a partition.
    """
    if context.repository_def is None:
        raise dg.DagsterInvariantViolationError("the sensor needs its code location")
    graph = context.repository_def.asset_graph
    selection = dg.AssetSelection.assets(asset_key(use_case, *asset)).downstream()
    return sorted(key for key in selection.resolve(graph) if not graph.get(key).is_partitioned)
