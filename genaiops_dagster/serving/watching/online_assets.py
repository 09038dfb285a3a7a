"""The evaluation of real traffic as a daily asset, with its drift checks."""

import datetime as dt
from typing import Any

import dagster as dg

from genaiops_dagster.evaluation.run_config import purse_of
from genaiops_dagster.orchestration.asset_options import Materialized, asset_key, use_case_asset
from genaiops_dagster.orchestration.metadata import markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import open_workspace
from genaiops_dagster.serving.watching.drift import Kind
from genaiops_dagster.serving.watching.online_evaluation import OnlineEvaluation, evaluate_day
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.serving import Monitoring

FIRST_DAY = "2026-01-01"
CHECKS: dict[str, Kind] = {"input_drift": "input", "score_drift": "score"}


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """The asset `online_evaluation` with its checks, where the use case is monitored."""
    policy = use_case.serving.monitoring
    return [] if policy is None else [_online_evaluation(use_case, policy)]


def build_schedule(use_case: UseCase) -> list[dg.ScheduleDefinition]:
    """The schedule `<use case>_online_evaluation` of the day before, with its job."""
    policy = use_case.serving.monitoring
    if policy is None:
        return []
    job = dg.define_asset_job(
        f"{use_case.name}_online_evaluation_day",
        selection=dg.AssetSelection.assets(asset_key(use_case, "online_evaluation")),
        description="Score a sample of a day's requests, and look for drift.",
    )

    @dg.schedule(
        name=f"{use_case.name}_online_evaluation",
        job=job,
        cron_schedule=policy.schedule,
        default_status=(
            dg.DefaultScheduleStatus.RUNNING
            if use_case.automation.enabled
            else dg.DefaultScheduleStatus.STOPPED
        ),
    )
    def the_day_before(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time - dt.timedelta(days=1)
        return dg.RunRequest(run_key=f"{day:%Y-%m-%d}", partition_key=f"{day:%Y-%m-%d}")

    return [the_day_before]


def _online_evaluation(use_case: UseCase, policy: Monitoring) -> dg.AssetsDefinition:
    key = asset_key(use_case, "online_evaluation")
    limit = dt.timedelta(hours=policy.freshness_hours.get("online_evaluation", 0))

    @use_case_asset(
        use_case,
        "operations",
        description=(
            "A sample of a day's requests, scored with the metrics and the judge of the "
            "evaluation, and compared with the evaluation set."
        ),
        deps=[asset_key(use_case, "requests")],
        partitions_def=dg.DailyPartitionsDefinition(FIRST_DAY),
        kinds={"bigquery", "gemini", "json"},
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                name,
                asset=key,
                description=escape_markdown(f"The day's {kind}s are those of the evaluation set."),
            )
            for name, kind in CHECKS.items()
        ],
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=limit) if limit else None,
        dagster_type=OnlineEvaluation,
    )
    def online_evaluation(context: dg.AssetExecutionContext) -> Materialized:
        with open_workspace(context, use_case) as here:
            found = evaluate_day(
                use_case,
                policy,
                dt.date.fromisoformat(context.partition_key),
                here.store,
                here.warehouse,
                here.models,
                purse_of(here, context),
            )
        return dg.MaterializeResult(
            value=found,
            metadata=_metadata(found),
            check_results=[_check(found, name, kind) for name, kind in CHECKS.items()],
        )

    return online_evaluation


def _check(found: OnlineEvaluation, name: str, kind: Kind) -> dg.AssetCheckResult:
    alarms = found.alarms(kind)
    compared = [test for test in found.drift if test.kind == kind and test.p_value is not None]
    words = [
        f"{test.name} differs by {test.effect:+.2f} (p = {test.p_value:.2g}, {test.method})"
        for test in alarms
    ]
    silent = f"{len(compared)} comparisons, no alarm" if compared else "too few rows to compare"
    return dg.AssetCheckResult(
        check_name=name,
        passed=not alarms,
        description=escape_markdown("; ".join(words) or silent),
        metadata={"day": found.day, "compared": len(compared)},
    )


def _metadata(found: OnlineEvaluation) -> dict[str, Any]:
    return {
        "dagster/row_count": found.sampled,
        "champion": found.champion if found.champion is not None else "none",
        "requests": found.requests,
        "failed": found.failed,
        "blocked": found.blocked,
        "cost_usd": "unknown" if found.cost_usd is None else found.cost_usd,
        "latency_p95_seconds": found.latency_p95_seconds or "unknown",
        "scores": markdown_table(
            ["metric", "mean", "low", "high", "rows", "in the evaluation"],
            [
                (name, s.mean, s.low, s.high, s.rows, found.reference.get(name))
                for name, s in found.metrics.items()
            ],
        ),
        "drift": markdown_table(
            ["", "rows", "reference", "effect", "p value", "alarm"],
            [
                (t.name, t.rows, t.reference_rows, t.effect, t.p_value, "yes" if t.alarm else "no")
                for t in found.drift
            ],
        ),
    }
