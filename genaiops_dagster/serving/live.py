"""After a promotion: assets that no run of the lifecycle includes, with their jobs."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from genaiops_dagster.orchestration.asset_options import asset_key, map_specs
from genaiops_dagster.serving.load_testing import assets as load_assets
from genaiops_dagster.serving.watching import (
    online_assets,
    rollout_assets,
)
from genaiops_dagster.use_case import UseCase


def build_operations(use_case: UseCase) -> dg.Definitions:
    """The request log, and what watches and changes what is served."""
    requests = dg.AssetSpec(
        asset_key(use_case, "requests"),
        description="Requests of users, as the router records them in the table `requests`.",
        group_name=use_case.name,
        owners=use_case.owners,
        tags={"stage": "operations"},
        kinds={"bigquery"},
    )
    return dg.Definitions(
        assets=[
            requests,
            *rollout_assets.build_assets(use_case),
            *load_assets.build_assets(use_case),
            *online_assets.build_assets(use_case),
        ],
        jobs=load_assets.build_jobs(use_case),
        schedules=[
            *rollout_assets.build_schedule(use_case),
            *online_assets.build_schedule(use_case),
        ],
    )


def keep_fresh(
    use_case: UseCase, assets: list[dg.AssetsDefinition | dg.AssetSpec]
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The same assets, with the freshness policies of the use case's monitoring."""
    monitoring = use_case.serving.monitoring
    if monitoring is None:
        return assets
    hours = monitoring.freshness_hours

    def keep(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = "/".join(spec.key.path[1:])
        if name not in hours:
            return spec
        limit = dt.timedelta(hours=hours[name])
        policy = dg.FreshnessPolicy.time_window(fail_window=limit)
        fresh: dg.AssetSpec = dg.apply_freshness_policy(spec, policy)
        return fresh

    return map_specs(keep, assets)
