"""What Dagster shows of a use case: the shipped ones, and one that has every section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.orchestration.alerts import build_alerts
from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.use_case import SHIPPED, UseCase, load_use_case
from tests.surface.conftest import HERE, Compare

FILES = [*sorted(SHIPPED.glob("*.yaml")), HERE / "everything.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_definitions(path: Path, compare: Compare) -> None:
    definitions = build_definitions([load_use_case(path)])
    compare(f"definitions_{path.stem}", picture(definitions))


def test_a_use_case_has_every_section() -> None:
    """So that what a section brings along is in a picture."""
    use_case = load_use_case(HERE / "everything.yaml")
    unset = UseCase.model_fields.keys() - use_case.model_fields_set
    left_out = {name for name, value in use_case.serving if value is None}
    assert not unset
    assert not left_out


def test_alerts(compare: Compare) -> None:
    sensors = build_alerts({"GENAIOPS_ALERTS_SLACK_WEBHOOK": "https://hooks.example/1"})
    compare("alerts", {sensor.name: _sensor(sensor) for sensor in sensors})


def picture(definitions: dg.Definitions) -> dict[str, Any]:
    """Everything that has a name."""
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    specs = definitions.resolve_all_asset_specs()
    return {
        "assets": {spec.key.to_user_string(): _asset(spec) for spec in specs},
        "checks": {
            f"{key.asset_key.to_user_string()}: {key.name}": (
                "blocking" if graph.get_check_spec(key).blocking else "not blocking"
            )
            for key in graph.asset_check_keys
        },
        "jobs": {
            name: _job(repository.get_job(name))
            for name in repository.job_names
            if not name.startswith("__")
        },
        "schedules": {s.name: _schedule(s) for s in repository.schedule_defs},
        "sensors": {s.name: _sensor(s) for s in repository.sensor_defs},
        "resources": sorted(repository.get_top_level_resources()),
    }


def _asset(spec: dg.AssetSpec) -> dict[str, Any]:
    condition, partitions = spec.automation_condition, spec.partitions_def
    shown = {
        "after": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "automation": condition.get_label() if condition else None,
        "code_version": spec.code_version,
        "freshness": spec.freshness_policy and type(spec.freshness_policy).__name__,
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "metadata": sorted(spec.metadata),
        "owners": sorted(spec.owners),
        "partitions": str(partitions) if partitions else None,
        "tags": {k: v for k, v in spec.tags.items() if not k.startswith("dagster/kind/")},
    }
    return {name: value for name, value in shown.items() if value}


def _job(job: dg.JobDefinition) -> dict[str, Any]:
    """Steps have the names of their ops, none of which is dynamic."""
    shown = {
        "ops": {node.name: _op(node.definition) for node in job.nodes},
        "tags": dict(job.tags),
        "partitions": str(job.partitions_def) if job.partitions_def else None,
    }
    return {name: value for name, value in shown.items() if value}


def _op(op: Any) -> dict[str, Any]:
    """What a person may choose in the launchpad, and the pool."""
    field = op.config_field
    fields = getattr(field.config_type, "fields", {}) if field else {}
    chosen = {
        name: one.default_value if one.default_provided else "required"
        for name, one in fields.items()
    }
    pools = sorted(op.pools)
    return {**({"config": chosen} if chosen else {}), **({"pools": pools} if pools else {})}


def _schedule(schedule: dg.ScheduleDefinition) -> dict[str, Any]:
    return {
        "cron": schedule.cron_schedule,
        "job": schedule.job_name,
        "status": schedule.default_status.value,
        "time_zone": schedule.execution_timezone,
    }


def _sensor(sensor: dg.SensorDefinition) -> dict[str, Any]:
    return {
        "jobs": sorted(target.job_name for target in sensor.targets),
        "seconds": sensor.minimum_interval_seconds,
        "status": sensor.default_status.value,
        "type": sensor.sensor_type.value,
    }
