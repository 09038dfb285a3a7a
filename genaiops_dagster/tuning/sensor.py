"""A run that left its tuning job is continued when the job has ended."""

from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import dagster as dg

from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import RESOURCES, Workspace, open_workspace
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
    """What the service says about a job.

    Attributes:
        state: Name of its state.
        ended: Whether that is its last one.
        progress: How far it is, in words.
    """

    state: str
    ended: bool
    progress: str


Look = Callable[[dg.SensorEvaluationContext, Workspace, str], JobSeen]
"""Looks at a job of the service, by its name."""


def build_sensor(use_case: UseCase, job_name: str) -> dg.SensorDefinition:
    """Sensor that requests the rest of a run of `job_name` once its tuning job has ended.

    It also keeps the deadline and the money limit of jobs for which no run waits.
    """

    def look(context: dg.SensorEvaluationContext, here: Workspace, name: str) -> JobSeen:
        client = here.models.genai
        found = client.tunings.get(name=name)
        reason = reason_to_cancel(found, use_case.tuning, use_case.budget, here.clock.now())
        if reason is not None:
            cancel_job(client, here.store, use_case.name, name, reason, context.log)
        return JobSeen(state_name(found), has_ended(found), str(progress_of(found)))

    return continuing_sensor(use_case, "tuning", look, TUNING, job_name=job_name)


def continuing_sensor(
    use_case: UseCase, kind: str, look: Look, folder: str, **target: Any
) -> dg.SensorDefinition:
    """Sensor that requests the rest of every run that left its job, once the job has ended.

    Args:
        use_case: Whose.
        kind: What kind of job is looked at.
        look: Looks at one.
        folder: Where notes of such jobs are, below the use case's folder.
        target: What `dg.sensor` takes as the target of run requests.
    """

    @dg.sensor(
        name=f"{use_case.name}_{folder}",
        minimum_interval_seconds=30,
        required_resource_keys=set(RESOURCES),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=escape_markdown(
            f"Goes on with a run whose {kind} job took longer than the run waited."
        ),
        **target,
    )
    def job_ended(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        with open_workspace(context, use_case) as here:
            return _tick(context, here, kind, look, folder)

    return job_ended


def _tick(
    context: dg.SensorEvaluationContext, here: Workspace, kind: str, look: Look, folder: str
) -> dg.SensorResult | dg.SkipReason:
    requests, waiting, now = [], [], here.clock.now().timestamp()
    for pending in islice(pending_jobs(here.store, here.use_case.name, folder), _MOST_JOBS):
        if not pending.is_abandoned(now):
            waiting.append(f"{pending.job}: run {pending.run_id} waits for it")
            continue
        seen = look(context, here, pending.job)
        if not seen.ended:
            waiting.append(f"{pending.job}: {seen.progress}")
            continue
        requests.append(
            dg.RunRequest(
                run_key=f"{pending.job}:{seen.state}",
                tags={f"genaiops/{kind}_job": pending.job.rsplit("/", 1)[-1][:_TAG_CHARACTERS]},
                asset_selection=rest_of_run(context, here.use_case, pending.asset),
            )
        )
    if not requests:
        return dg.SkipReason("; ".join(waiting) or f"no {kind} job is pending")
    return dg.SensorResult(run_requests=requests)


def rest_of_run(
    context: dg.SensorEvaluationContext, use_case: UseCase, asset: tuple[str, ...]
) -> list[dg.AssetKey]:
    """The asset that the job makes, and everything after it; the data before it stays as it is.

    Assets with a partition for each day are left out: the run has no partition.
    """
    if context.repository_def is None:
        raise dg.DagsterInvariantViolationError("the sensor needs its code location")
    graph = context.repository_def.asset_graph
    selection = dg.AssetSelection.assets(asset_key(use_case, *asset)).downstream()
    return sorted(key for key in selection.resolve(graph) if not graph.get(key).is_partitioned)
