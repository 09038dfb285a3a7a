"""A run that left its pipeline job is continued when the job has ended."""

import time

import dagster as dg

from genaiops_dagster.google_cloud.resources import ObjectStoreResource, VertexAIResource
from genaiops_dagster.pipelines.jobs import PipelineJobs
from genaiops_dagster.pipelines.states import has_ended, state_name
from genaiops_dagster.pipelines.wait import FOLDER
from genaiops_dagster.tuning.pending import pending_jobs
from genaiops_dagster.tuning.sensor import rest_of_run
from genaiops_dagster.use_case import UseCase

_MOST_JOBS = 20
"""Jobs that one tick looks at; a tick may take a minute."""


def build_sensors(use_case: UseCase) -> list[dg.SensorDefinition]:
    """The sensor that goes on with runs whose pipeline job has ended; none without `pipelines`."""
    if not use_case.pipelines:
        return []

    @dg.sensor(
        name=f"{use_case.name}_pipelines",
        target=dg.AssetSelection.groups(use_case.name).materializable(),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Goes on with a run whose pipeline job took longer than the run waited.",
    )
    def pipeline_ended(
        context: dg.SensorEvaluationContext,
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
    ) -> dg.SensorResult | dg.SkipReason:
        jobs = PipelineJobs(vertex_ai.get_clients(), context.log)
        requests, told = [], []
        store = object_store.get_store()
        for number, pending in enumerate(pending_jobs(store, use_case.name, FOLDER)):
            if number == _MOST_JOBS:
                break
            if not pending.is_abandoned(time.time()):
                told.append(f"{pending.job}: run {pending.run_id} waits for it")
                continue
            found = jobs.get(pending.job)
            if not has_ended(found):
                told.append(f"{pending.job}: {state_name(found)}")
                continue
            requests.append(
                dg.RunRequest(
                    run_key=f"{pending.job}:{state_name(found)}",
                    tags={"genaiops/pipeline_job": pending.job.rsplit("/", 1)[-1][:63]},
                    asset_selection=rest_of_run(context, use_case, pending.asset),
                )
            )
        if not requests:
            return dg.SkipReason("; ".join(told) or "no pipeline job is pending")
        return dg.SensorResult(run_requests=requests)

    definition: dg.SensorDefinition = pipeline_ended
    return [definition]
