"""Assets that refresh when their data changes, if the use case switches automation on."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from genaiops_dagster.orchestration.asset_options import map_specs
from genaiops_dagster.use_case import UseCase

_ROOTS = {"source_rows", "source_tables", "inbox"}
"""Read on a schedule, by the inbox sensor or by hand; everything else follows from them."""


def refresh_when_data_changed() -> dg.AutomationCondition[Any]:
    """Materialize an asset when what it is made of has changed, if every blocking check passed.

    The lifecycle job refreshes everything in one run. This condition is for the rest: somebody
    materializes `source_rows` alone, or another team's run changes a set, and the model should
    follow.

    - A change is a change of the data version, not a materialization: `eager()` also fires when
      the same rows are read again, which would ask for a tuning job every Monday over data that
      nobody touched.
    - `eager()` ignores checks, and blocking checks hold only inside one run: without
      `all_deps_blocking_checks_passed` a set that leaks would be tuned on by the next run.
    - What is requested takes everything downstream along, in one run, so that the checks in
      between stop that run as they stop any other.
    - A failure counts as an answer: a paid step that cannot succeed is not bought again until a
      person asks for it, or the data changes once more.

    The trade: a change of the code, or of a prompt nobody materialized, starts nothing.
    """
    condition = dg.AutomationCondition
    changed = condition.any_deps_match(
        condition.data_version_changed() | condition.will_be_requested()
    )
    answered = (
        condition.newly_requested()
        | condition.newly_updated()
        | condition.execution_failed().newly_true()
        | condition.initial_evaluation()
    )
    return (
        changed.since(answered)
        & ~condition.any_deps_missing()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
        & condition.all_deps_blocking_checks_passed()
    ).with_label("refresh_when_data_changed")


def follow_data(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec],
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The same assets, which refresh when their data changes.

    Sources do not, and neither does what has a partition for each day: a new champion would answer
    every day again.
    """

    def follow(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.key.path[-1] in _ROOTS or spec.partitions_def is not None:
            return spec
        return spec.replace_attributes(automation_condition=refresh_when_data_changed())

    return map_specs(follow, assets)


def build_automation(use_case: UseCase) -> dg.AutomationConditionSensorDefinition:
    """The sensor that requests what the conditions of a use case's assets ask for."""
    return dg.AutomationConditionSensorDefinition(
        f"{use_case.name}_automation",
        target=dg.AssetSelection.groups(use_case.name),
        default_status=(
            dg.DefaultSensorStatus.RUNNING
            if use_case.automation.enabled
            else dg.DefaultSensorStatus.STOPPED
        ),
        description="Refreshes what depends on data that has changed.",
    )
