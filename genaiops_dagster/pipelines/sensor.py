"""A run that left its pipeline job is continued when the job has ended."""

import dagster as dg

from genaiops_dagster.orchestration.workspace import Workspace
from genaiops_dagster.pipelines.jobs import PipelineJobs
from genaiops_dagster.pipelines.states import has_ended, state_name
from genaiops_dagster.tuning.pending import PIPELINES
from genaiops_dagster.tuning.sensor import JobSeen, continuing_sensor
from genaiops_dagster.use_case import UseCase


def build_sensors(use_case: UseCase) -> list[dg.SensorDefinition]:
    """The sensor that goes on with runs whose pipeline job has ended; none without `pipelines`."""
    if not use_case.pipelines:
        return []

    def look(context: dg.SensorEvaluationContext, here: Workspace, name: str) -> JobSeen:
        found = PipelineJobs(here.models, context.log).get(name)
        state = state_name(found)
        return JobSeen(state, has_ended(found), state)

    target = dg.AssetSelection.groups(use_case.name).materializable()
    return [continuing_sensor(use_case, "pipeline", look, PIPELINES, target=target)]
