"""The rollout as an asset: each materialization is one look at it."""

from typing import Any

import dagster as dg

from genaiops_dagster.orchestration.asset_options import asset_key, use_case_asset
from genaiops_dagster.orchestration.metadata import markdown_list, markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import open_workspace
from genaiops_dagster.promotion.assets import open_champion
from genaiops_dagster.promotion.champion import ChampionError
from genaiops_dagster.promotion.tables import publish_log
from genaiops_dagster.records.chain import BrokenLogError
from genaiops_dagster.serving.watching.rollout import RolloutLook, look_at_rollout
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.serving import RolloutPolicy


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The asset `rollout` with its check, where the use case has a rollout policy."""
    policy = use_case.serving.rollout
    return [] if policy is None else [_rollout(use_case, policy), _check(use_case)]


def look_job_name(use_case: str) -> str:
    """Name of the job that looks at the rollout once."""
    return f"{use_case}_rollout_look"


def build_schedule(use_case: UseCase) -> list[dg.ScheduleDefinition]:
    """The schedule `<use case>_rollout` with its job, where the use case has a rollout policy."""
    policy = use_case.serving.rollout
    if policy is None:
        return []
    job = dg.define_asset_job(
        look_job_name(use_case.name),
        selection=dg.AssetSelection.assets(asset_key(use_case, "rollout")),
        description="Look at the rollout: the next stage, a withdrawal, or nothing yet.",
    )
    return [
        dg.ScheduleDefinition(
            name=f"{use_case.name}_rollout",
            job=job,
            cron_schedule=policy.schedule,
            default_status=(
                dg.DefaultScheduleStatus.RUNNING
                if use_case.automation.enabled
                else dg.DefaultScheduleStatus.STOPPED
            ),
        )
    ]


def _rollout(use_case: UseCase, policy: RolloutPolicy) -> dg.AssetsDefinition:
    @use_case_asset(
        use_case,
        "operations",
        description=(
            "One look at the candidate that is being rolled out: the next stage when its online "
            "figures are good, a withdrawal when they are not, or are missing."
        ),
        deps=[asset_key(use_case, "champion"), asset_key(use_case, "requests")],
        kinds={"bigquery", "gcs", "json"},
        code_version="1",
    )
    def rollout(context: dg.AssetExecutionContext) -> dg.MaterializeResult[RolloutLook]:
        try:
            with open_workspace(context, use_case) as here:
                books = open_champion(here)
                look = look_at_rollout(books, here.warehouse, policy)
                if look.action != "wait":
                    publish_log(here.warehouse, books.log)
        except (BrokenLogError, ChampionError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info(f"{look.action}: {'; '.join(look.reasons)}")
        if look.action == "advance" and look.rollout and look.stage_after is None:
            context.log_event(
                dg.AssetMaterialization(
                    asset_key(use_case, "champion"),
                    description="The rollout is complete",
                    metadata={"champion": look.champion, "model": look.rollout.candidate.model},
                )
            )
        return dg.MaterializeResult(value=look, metadata=_metadata(look))

    return rollout


def _check(use_case: UseCase) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(use_case, "rollout"),
        name="within_limits",
        description="The candidate that is being rolled out did not have to be withdrawn.",
    )
    def within_limits(rollout: RolloutLook) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=rollout.action != "withdraw",
            description=escape_markdown("; ".join(rollout.reasons)),
        )

    return within_limits


def _metadata(look: RolloutLook) -> dict[str, Any]:
    if look.rollout is None:
        return {"champion": look.champion, "reasons": look.reasons[0]}
    figures = [("candidate", look.candidate_figures), ("champion", look.champion_figures)]
    return {
        "champion": look.champion,
        "candidate": look.rollout.candidate.candidate,
        "stage": look.rollout.stage,
        "action": look.action,
        "stage_after": look.stage_after or "none",
        "reasons": markdown_list(look.reasons),
        "figures": markdown_table(
            ["", "requests", "failed", "blocked", "p95 s", "quality"],
            [
                (who, f.requests, f.failed, f.blocked, f.latency_p95_seconds, f.quality)
                for who, f in figures
                if f is not None
            ],
        ),
    }
