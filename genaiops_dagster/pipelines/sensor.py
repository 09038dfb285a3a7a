"""A run that left its pipeline job is continued when the job has ended."""

import dagster as dg

from genaiops_dagster.orchestration.workspace import RESOURCES, open_workspace
from genaiops_dagster.pipelines.jobs import PipelineJobs
from genaiops_dagster.pipelines.states import has_ended, state_name
from genaiops_dagster.tuning.pending import PIPELINES
from genaiops_dagster.tuning.sensor import JobSeen, continue_runs
from genaiops_dagster.use_case import UseCase


def build_sensors(use_case: UseCase) -> list[dg.SensorDefinition]:
    """The sensor that goes on with runs whose pipeline job has ended; none without `pipelines`."""
    if not use_case.pipelines:
        return []

    @dg.sensor(
        name=f"{use_case.name}_pipelines",
        target=dg.AssetSelection.groups(use_case.name).materializable(),
        minimum_interval_seconds=30,
        required_resource_keys=set(RESOURCES),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Goes on with a run whose pipeline job took longer than the run waited.",
    )
    def pipeline_ended(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        with open_workspace(context, use_case) as here:
            jobs = PipelineJobs(here.models, context.log)

            def look(name: str) -> JobSeen:
                found = jobs.get(name)
                state = state_name(found)
                return JobSeen(state, has_ended(found), state)

            return continue_runs(context, here, "pipeline_job", look, PIPELINES)

    return [pipeline_ended]
