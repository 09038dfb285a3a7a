"""The champion's answers, as assets: to the samples of a use case, and to a day's prompts."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from genaiops_dagster.evaluation.asking.concurrency import log_progress
from genaiops_dagster.evaluation.run_config import POOL, purse_of
from genaiops_dagster.orchestration.asset_options import Materialized, asset_key, use_case_asset
from genaiops_dagster.orchestration.metadata import column_schema, markdown_table
from genaiops_dagster.orchestration.workspace import Workspace, open_workspace
from genaiops_dagster.promotion.champion import gated_champion
from genaiops_dagster.records.serving import GeneratedContent, GeneratedRow
from genaiops_dagster.serving.daily.day_prompts import SAMPLES, DayPrompt, prompts_of_day, samples
from genaiops_dagster.serving.daily.generate import generate, keep
from genaiops_dagster.serving.daily.tables import GENERATED_CONTENT, table_rows
from genaiops_dagster.use_case import UseCase

SAMPLE_CONTENT = "sample_content"
GENERATED = "generated_content"

_CHECKS = {
    "prompt_parity": "Every prompt was rendered with the prompt that the champion was judged by.",
    "all_accounted_for": "Every prompt that came in has a row that says how it ended.",
    "answered": "Every prompt was answered in full.",
}


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """The assets `sample_content` and `generated_content` of a use case, with their checks."""
    return [_sample_content(use_case), _generated_content(use_case)]


def generate_job_name(use_case: str) -> str:
    """Name of the job that answers the prompts of a day."""
    return f"{use_case}_generate"


def build_schedule(use_case: UseCase) -> dg.ScheduleDefinition:
    """The schedule that asks for the content of the day before, with its job."""
    job = dg.define_asset_job(
        generate_job_name(use_case.name),
        selection=dg.AssetSelection.assets(asset_key(use_case, GENERATED)),
        description="Answers of the champion to the prompts of a day.",
    )

    @dg.schedule(
        name=f"{use_case.name}_generate_daily",
        job=job,
        cron_schedule=use_case.serving.daily.schedule,
        execution_timezone="UTC",
        description="Asks the champion for the prompts of the day before.",
        default_status=(
            dg.DefaultScheduleStatus.RUNNING
            if use_case.automation.enabled
            else dg.DefaultScheduleStatus.STOPPED
        ),
    )
    def generate_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = (context.scheduled_execution_time - dt.timedelta(days=1)).date()
        if day < use_case.serving.daily.start:
            return dg.SkipReason(f"{day} is before serving.daily.start")
        return dg.RunRequest(run_key=str(day), partition_key=str(day))

    return generate_daily


def _sample_content(use_case: UseCase) -> dg.AssetsDefinition:
    @use_case_asset(
        use_case,
        "serving",
        **_options(use_case, SAMPLE_CONTENT),
        description="What the champion says to the samples of the use case file.",
        kinds={"gemini", "gcs", "parquet"},
    )
    def sample_content(context: dg.AssetExecutionContext) -> Materialized:
        prompts = samples(use_case)
        with open_workspace(context, use_case) as here:
            made, rows = _generate(context, here, SAMPLES, prompts)
        return _result(use_case, SAMPLE_CONTENT, made, rows, len(prompts))

    return sample_content


def _generated_content(use_case: UseCase) -> dg.AssetsDefinition:
    @use_case_asset(
        use_case,
        "serving",
        **_options(use_case, GENERATED),
        description="What the champion says to the prompts that came in on a day.",
        partitions_def=dg.DailyPartitionsDefinition(
            start_date=use_case.serving.daily.start.isoformat(), end_offset=1
        ),
        kinds={"gemini", "bigquery", "parquet"},
        metadata={
            "dagster/column_schema": column_schema(
                {column.name: column.type for column in GENERATED_CONTENT.columns}
            )
        },
    )
    def generated_content(context: dg.AssetExecutionContext) -> Materialized:
        day = dt.date.fromisoformat(context.partition_key)
        with open_workspace(context, use_case) as here:
            prompts = prompts_of_day(use_case, day, here.store, here.warehouse)
            made, rows = _generate(context, here, day, prompts)
            here.warehouse.replace(
                GENERATED_CONTENT,
                table_rows(use_case.name, made, rows),
                {"use_case": use_case.name, "day": day},
            )
            table = here.warehouse.table_id(GENERATED_CONTENT.name)
        return _result(use_case, GENERATED, made, rows, len(prompts), table)

    return generated_content


def _generate(
    context: dg.AssetExecutionContext,
    here: Workspace,
    of: dt.date | str,
    prompts: Sequence[DayPrompt],
) -> tuple[GeneratedContent, list[GeneratedRow]]:
    """The champion's answers to prompts, stored; the champion that pointer and log agree on."""
    use_case = here.use_case
    champion = gated_champion(here.store, use_case.name)
    if champion is None:
        raise dg.Failure(f"{use_case.name} has no champion yet", allow_retries=False)
    found = generate(
        use_case,
        champion,
        of,
        prompts,
        here.store,
        here.models,
        purse_of(here, context),
        log_progress(context.log, str(of), here.clock),
        context.log,
    )
    made = keep(use_case, champion, of, found, here.store, emulated=here.models.emulated)
    return made, found.rows


def _options(use_case: UseCase, asset: str) -> dict[str, Any]:
    """The options that both assets share."""
    return {
        "path": (asset,),
        "deps": [asset_key(use_case, "champion")],
        "code_version": "2",
        "pool": POOL,
        "dagster_type": GeneratedContent,
        "check_specs": [
            dg.AssetCheckSpec(
                name=name,
                asset=asset_key(use_case, asset),
                description=description,
                blocking=name != "answered",
            )
            for name, description in _CHECKS.items()
        ],
    }


def _result(
    use_case: UseCase,
    asset: str,
    made: GeneratedContent,
    rows: list[GeneratedRow],
    came_in: int,
    table: str | None = None,
) -> Materialized:
    others = sum(row.prompt_digest != made.prompt_digest for row in rows)
    complete = made.states.get("answered", 0)
    passed = {
        "prompt_parity": others == 0,
        "all_accounted_for": len(rows) == came_in,
        "answered": complete == made.rows,
    }
    counts: dict[str, dict[str, Any]] = {
        "prompt_parity": {"judged_by": made.prompt_digest, "rows_with_another_prompt": others},
        "all_accounted_for": {"prompts": came_in, "rows": len(rows)},
        "answered": {str(state): count for state, count in made.states.items()},
    }
    return dg.MaterializeResult(
        value=made,
        data_version=dg.DataVersion(made.digest),
        metadata=_metadata(made, rows, table),
        check_results=[
            dg.AssetCheckResult(
                check_name=name,
                asset_key=asset_key(use_case, asset),
                passed=passed[name],
                severity=(
                    dg.AssetCheckSeverity.WARN
                    if name == "answered"
                    else dg.AssetCheckSeverity.ERROR
                ),
                metadata=counts[name],
            )
            for name in _CHECKS
        ],
    )


def _metadata(
    made: GeneratedContent, rows: list[GeneratedRow], table: str | None
) -> dict[str, dg.MetadataValue | str | int | float]:
    """The asset's page; it never shows prompts or answers."""
    caching = made.caching
    rules = Counter(
        (finding.place, finding.rule, finding.action) for row in rows for finding in row.guardrails
    )
    return {
        "dagster/uri": made.uri,
        "dagster/row_count": made.rows,
        **({"dagster/table_name": table} if table else {}),
        "champion": made.champion,
        "model": made.model,
        "model_versions": ", ".join(made.model_versions) or "(nothing answered)",
        "charged": "emulated, nothing was charged" if made.emulated else "charged",
        "cost_usd": "unknown" if made.cost_usd is None else made.cost_usd,
        "paid_now_usd": "unknown" if made.paid_usd is None else made.paid_usd,
        "paid_now_requests": made.paid_requests,
        "batch_job": made.batch,
        "tokens": f"{made.input_tokens:,} in ({made.cached_tokens:,} from a cache), "
        f"{made.output_tokens:,} out",
        "longest_seconds": made.latency_seconds,
        "how_prompts_ended": markdown_table(
            ["status", "reason", "prompts"],
            [
                (status, reason, count)
                for (status, reason), count in Counter(
                    (row.status, _short(row.reason)) for row in rows
                ).most_common(20)
            ],
        ),
        "guardrails": markdown_table(
            ["of", "rule", "action", "prompts"], [(*rule, n) for rule, n in rules.most_common(20)]
        )
        if rules
        else "no rule found anything",
        "context_cache": f"{caching.action}; {caching.cached_tokens:,} tokens read from it"
        + ("" if caching.saved_usd is None else f", saved {caching.saved_usd:.6f} USD"),
    }


def _short(reason: str | None) -> str | None:
    """A reason as the table of them shows it, alike for prompts that differ in figures alone."""
    return reason.splitlines()[0].partition("; asked")[0][:120] if reason else None
