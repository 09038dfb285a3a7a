"""What the UI shows of every use case: nothing without a description, an owner and a place."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.use_case import load_use_cases

USE_CASES = load_use_cases()


@pytest.fixture(scope="module", params=USE_CASES)
def definitions(request: pytest.FixtureRequest) -> dg.Definitions:
    return build_definitions([USE_CASES[request.param]])


def test_every_asset_says_what_it_is_whose_and_where(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        name = spec.key.to_user_string()
        assert len(spec.description or "") > 20, name
        assert spec.kinds, name
        assert spec.owners, name
        assert spec.group_name == spec.key.path[0], name
        assert spec.tags.get("stage"), name


def test_every_job_sensor_and_schedule_is_of_the_use_case_and_described(
    definitions: dg.Definitions,
) -> None:
    groups = {spec.group_name for spec in definitions.resolve_all_asset_specs()}
    (group,) = groups
    for job in definitions.jobs or ():
        assert job.name.startswith(f"{group}_")
        assert job.description, job.name
    for one in (*(definitions.sensors or ()), *(definitions.schedules or ())):
        assert one.name.startswith(f"{group}_"), one.name


def test_nothing_runs_by_itself_until_it_is_switched_on(definitions: dg.Definitions) -> None:
    for schedule in definitions.schedules or ():
        assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED, schedule.name
    for sensor in definitions.sensors or ():
        if not sensor.name.endswith("_tuning"):  # takes up what was begun, and begins nothing
            assert sensor.default_status == dg.DefaultSensorStatus.STOPPED, sensor.name


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_a_checkout_is_configured_as_the_package_is(name: str) -> None:
    root = Path(__file__).parents[2]
    shipped = root / "genaiops_dagster" / "cli" / name
    assert (root / name).read_text() == shipped.read_text()
