"""A run that left its tuning job is continued when the job has ended."""

import datetime as dt
import time

import dagster as dg

from genaiops_dagster.asset_options import asset_key
from genaiops_dagster.google_cloud.resources import ObjectStoreResource, VertexAIResource
from genaiops_dagster.tuning.cancellation import cancel_job
from genaiops_dagster.tuning.limits import reason_to_cancel
from genaiops_dagster.tuning.pending import pending_jobs
from genaiops_dagster.tuning.progress import progress_of
from genaiops_dagster.tuning.states import has_ended, state_name
from genaiops_dagster.use_case import UseCase

_MOST_JOBS = 20
"""Jobs that one tick looks at; a tick may take a minute."""


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
        requests, told = [], []
        for number, pending in enumerate(pending_jobs(store, use_case.name)):
            if number == _MOST_JOBS:
                break
            if not pending.is_abandoned(time.time()):
                told.append(f"{pending.job}: run {pending.run_id} waits for it")
                continue
            found = client.tunings.get(name=pending.job)
            reason = reason_to_cancel(use_case, found, dt.datetime.now(dt.UTC))
            if reason is not None:
                context.log.warning(f"Cancelling tuning job {pending.job}: {reason}")
                cancel_job(client, store, use_case.name, pending.job, reason)
            if not has_ended(found):
                told.append(f"{pending.job}: {progress_of(found)}")
                continue
            requests.append(
                dg.RunRequest(
                    run_key=f"{pending.job}:{state_name(found)}",
                    tags={"genaiops/tuning_job": pending.job.rsplit("/", 1)[-1]},
                    asset_selection=rest_of_run(context, use_case, pending.asset),
                )
            )
        if not requests:
            return dg.SkipReason("; ".join(told) or "no tuning job is pending")
        return dg.SensorResult(run_requests=requests)

    definition: dg.SensorDefinition = tuning_ended
    return definition


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
