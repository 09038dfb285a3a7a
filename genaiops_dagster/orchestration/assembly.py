"""The shape of a use case in Dagster: assets of every room, with jobs, schedules and sensors.

The code location, the command line and the steps of a pipeline all build their definitions here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import dagster as dg

from genaiops_dagster.comparison.assets import build_assets as comparison_assets
from genaiops_dagster.data.assets import build_assets as data_assets
from genaiops_dagster.data.sensor import build_sensor as inbox_sensor
from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.orchestration.alerts import build_alerts
from genaiops_dagster.orchestration.asset_options import asset_key, pipeline_key
from genaiops_dagster.orchestration.automation import build_automation, follow_data
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.orchestration.executors import build_executor
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.stage_jobs import build_stage_jobs
from genaiops_dagster.pipelines.assets import build_assets as pipeline_assets
from genaiops_dagster.pipelines.sensor import build_sensors as pipeline_sensors
from genaiops_dagster.planning.assets import build_assets as planning_assets
from genaiops_dagster.promotion.assets import build_assets as promotion_assets
from genaiops_dagster.promotion.jobs import build_jobs as promotion_jobs
from genaiops_dagster.prompts.assets import build_assets as prompt_assets
from genaiops_dagster.serving.daily.assets import GENERATED
from genaiops_dagster.serving.daily.assets import build_assets as serving_assets
from genaiops_dagster.serving.daily.assets import build_schedule as generate_schedule
from genaiops_dagster.serving.live import build_operations, keep_fresh
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.tuning.sensor import build_sensor as tuning_sensor
from genaiops_dagster.use_case import UseCase

ROOMS = (
    data_assets,
    prompt_assets,
    planning_assets,
    tuning_assets,
    evaluation_assets,
    comparison_assets,
    promotion_assets,
    serving_assets,
    pipeline_assets,
)
"""In the order in which data flows through them."""


def lifecycle_job_name(use_case: str) -> str:
    """Name of the job that takes a use case from data to a served champion."""
    return f"{use_case}_lifecycle"


def _lifecycle(use_case: UseCase) -> dg.AssetSelection:
    """Every asset but what goes on after a promotion, what has a run each day, and pipelines that
    are not part of the lifecycle.
    """
    own = use_case.lifecycle_pipelines
    others = [pipeline_key(use_case, name) for name in use_case.pipelines if name not in own]
    daily = asset_key(use_case, GENERATED)
    operations = dg.AssetSelection.tag("stage", "operations")
    selection = dg.AssetSelection.groups(use_case.name).materializable()
    return selection - (dg.AssetSelection.assets(*others, daily) | operations)


def build_use_case(use_case: UseCase) -> dg.Definitions:
    """Everything that Dagster shows of one use case: assets, checks, job, schedule, sensor."""
    job = dg.define_asset_job(
        lifecycle_job_name(use_case.name),
        selection=_lifecycle(use_case),
        description=escape_markdown(f"From data to a served champion: {use_case.description}"),
    )
    schedule = dg.ScheduleDefinition(
        name=f"{use_case.name}_refresh",
        job=job,
        cron_schedule=use_case.automation.schedule,
        default_status=(
            dg.DefaultScheduleStatus.RUNNING
            if use_case.automation.enabled
            else dg.DefaultScheduleStatus.STOPPED
        ),
    )
    made = [asset for room in ROOMS for asset in room(use_case)]
    assets = keep_fresh(use_case, follow_data(made))
    lifecycle = dg.Definitions(
        assets=assets,
        jobs=[job, *build_stage_jobs(use_case, assets), *promotion_jobs(use_case)],
        schedules=[schedule, generate_schedule(use_case)],
        sensors=[
            inbox_sensor(use_case, job),
            tuning_sensor(use_case, job.name),
            build_automation(use_case),
            *pipeline_sensors(use_case),
        ],
    )
    return dg.Definitions.merge(lifecycle, build_operations(use_case))


def build_definitions(use_cases: Iterable[UseCase]) -> dg.Definitions:
    """The definitions of all use cases, with the resources that they share."""
    return dg.Definitions.merge(
        *(build_use_case(use_case) for use_case in use_cases),
        dg.Definitions(
            resources=build_resources(), executor=build_executor(), sensors=build_alerts(os.environ)
        ),
    )
