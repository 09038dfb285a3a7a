"""Ticks of the condition under which a use case follows its data."""

from __future__ import annotations

import dagster as dg
import pytest

from genaiops_dagster.orchestration.automation import build_automation, follow_data
from tests.data.conftest import use_case_of

STEPS = ["source_rows", "examples", "training_set", "tuned_model"]


class Ticks:
    """A chain of assets whose versions and outcomes a test decides, and the ticks over it."""

    def __init__(self) -> None:
        self.versions = dict.fromkeys(STEPS, "1")
        self.failing: set[str] = set()
        self.leaking = False
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: dg.AutomationConditionSensorDefinition | None = None
        self.defs = dg.Definitions(follow_data([self._asset(name) for name in STEPS]))

    def _asset(self, name: str) -> dg.AssetsDefinition:
        earlier = STEPS[STEPS.index(name) - 1 : STEPS.index(name)]
        checks = [dg.AssetCheckSpec("no_leakage", asset=["q", name], blocking=True)]

        @dg.asset(
            key_prefix="q",
            name=name,
            deps=[["q", each] for each in earlier],
            check_specs=checks if name == "training_set" else [],
        )
        def step() -> dg.MaterializeResult:  # type: ignore[type-arg] # as Dagster reads it
            if name in self.failing:
                raise RuntimeError("refused")
            results = [dg.AssetCheckResult(passed=not self.leaking)]
            return dg.MaterializeResult(
                data_version=dg.DataVersion(self.versions[name]),
                check_results=results if name == "training_set" else [],
            )

        return step

    def tick(self) -> set[str]:
        """Names of what a tick requests."""
        result = dg.evaluate_automation_conditions(
            defs=self.defs,
            instance=self.instance,
            cursor=self.cursor,  # type: ignore[arg-type]
        )
        self.cursor = result.cursor  # type: ignore[assignment]
        return {
            key.path[-1]
            for key in self.defs.resolve_asset_graph().get_all_asset_keys()
            if result.get_num_requested(key)
        }

    def execute(self, *names: str) -> None:
        """Materialize these assets in one run."""
        keys = [dg.AssetKey(["q", name]) for name in names]
        assets = [
            self.defs.get_assets_def(key) for key in map(dg.AssetKey, [["q", n] for n in STEPS])
        ]
        dg.materialize(assets, selection=keys, instance=self.instance, raise_on_error=False)

    def change(self, name: str) -> None:
        """From now on materializing `name` makes another version."""
        self.versions[name] += "'"


@pytest.fixture
def ticks() -> Ticks:
    made = Ticks()
    made.execute(*STEPS)
    made.tick()
    return made


def test_nothing_is_requested_before_anybody_ran_anything() -> None:
    """A fresh deployment must not tune every use case that ships with it."""
    ticks = Ticks()
    assert ticks.tick() == set()
    assert ticks.tick() == set()


def test_new_rows_take_everything_downstream_along_in_one_tick(ticks: Ticks) -> None:
    """Checks between the steps stop a run; they would not stop a run of each step."""
    ticks.change("source_rows")
    ticks.execute("source_rows")
    assert ticks.tick() == {"examples", "training_set", "tuned_model"}
    assert ticks.tick() == set()


def test_the_same_rows_read_again_start_nothing(ticks: Ticks) -> None:
    """A weekly read of an unchanged table must not ask for a weekly tuning job."""
    ticks.execute("source_rows")
    assert ticks.tick() == set()


def test_a_run_of_everything_is_not_repeated(ticks: Ticks) -> None:
    """The lifecycle job refreshes all by itself; the condition must not do it once more."""
    for name in STEPS:
        ticks.change(name)
    ticks.execute(*STEPS)
    assert ticks.tick() == set()
    assert ticks.tick() == set()


def test_data_that_fails_a_blocking_check_is_not_tuned_on(ticks: Ticks) -> None:
    """Blocking checks hold inside one run; a later run must not tune on what leaked."""
    ticks.leaking = True
    ticks.change("training_set")
    ticks.execute("training_set")
    assert ticks.tick() == set()
    ticks.leaking = False
    ticks.change("training_set")
    ticks.execute("training_set")
    assert ticks.tick() == {"tuned_model"}


def test_a_paid_step_that_failed_is_not_bought_again_until_the_data_changes(ticks: Ticks) -> None:
    """A refused tuning job must not be submitted at every tick."""
    ticks.failing = {"tuned_model"}
    ticks.change("training_set")
    ticks.execute("training_set")
    assert ticks.tick() == {"tuned_model"}
    ticks.execute("tuned_model")
    assert ticks.tick() == set()
    assert ticks.tick() == set()
    ticks.change("training_set")
    ticks.execute("training_set")
    assert ticks.tick() == {"tuned_model"}


def test_a_lifecycle_run_that_failed_is_not_repeated(ticks: Ticks) -> None:
    """The person who started it sees the failure; a second purchase would not help."""
    ticks.failing = {"tuned_model"}
    ticks.change("training_set")
    ticks.execute("training_set", "tuned_model")
    assert ticks.tick() == set()
    assert ticks.tick() == set()


@pytest.mark.parametrize("enabled", [False, True])
def test_one_setting_switches_automation(enabled: bool) -> None:
    sensor = build_automation(use_case_of(automation={"enabled": enabled}))
    assert (sensor.default_status == dg.DefaultSensorStatus.RUNNING) is enabled
