"""The comparison of all candidates as an asset."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from genaiops_dagster.comparison import charts
from genaiops_dagster.comparison.compare import IncomparableError
from genaiops_dagster.comparison.differences import Rows
from genaiops_dagster.comparison.publish import compare_stored, publish
from genaiops_dagster.comparison.summaries import (
    better_than_sheet,
    differences_sheet,
    leaderboard_sheet,
    losses_sheet,
    means_sheet,
    opponent,
    significance_sheet,
)
from genaiops_dagster.comparison.tables import MODEL_COMPARISONS
from genaiops_dagster.comparison.trend import TrendPoint, read_trend
from genaiops_dagster.google_cloud.bookkeeping import bookkeeping
from genaiops_dagster.orchestration.asset_options import asset_key, use_case_asset
from genaiops_dagster.orchestration.metadata import chart_image, markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import open_workspace
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import ChampionEvaluation, EvaluationReport
from genaiops_dagster.records.measurements import UnmeasuredError
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import CHAMPION, UseCase

COMPARABLE_CHECK = "same_data_and_judge"


def report_inputs(use_case: UseCase) -> dict[str, dg.AssetIn]:
    """The report of every candidate as an asset's input `report_<candidate>`."""
    return {
        f"report_{name}": dg.AssetIn(
            key=asset_key(use_case, "evaluation_report", name),
            dagster_type=EvaluationReport,
        )
        for name in use_case.candidates
    }


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """The asset `model_comparison` of a use case."""

    @use_case_asset(
        use_case,
        "comparison",
        description="All candidates and the champion on the same rows: who leads, and by how much.",
        ins={
            **report_inputs(use_case),
            "champion": dg.AssetIn(key=asset_key(use_case, "evaluation_report", CHAMPION)),
            "prompt": dg.AssetIn(key=asset_key(use_case, "prompt")),
        },
        check_specs=[
            dg.AssetCheckSpec(
                COMPARABLE_CHECK,
                asset=asset_key(use_case, "model_comparison"),
                description="All reports are of the same evaluation set, prompt and judge.",
                blocking=True,
            )
        ],
        kinds={"bigquery", "gcs", "json"},
        code_version="1",
    )
    def model_comparison(
        context: dg.AssetExecutionContext,
        champion: ChampionEvaluation,
        prompt: PromptVersion,
        **reports: EvaluationReport,
    ) -> Iterator[dg.MaterializeResult[Comparison] | dg.AssetCheckResult]:
        with open_workspace(context, use_case) as here:
            try:
                comparison, rows = compare_stored(
                    here.store, use_case, [*reports.values()], champion
                )
            except (IncomparableError, UnmeasuredError) as error:
                yield dg.AssetCheckResult(
                    passed=False,
                    check_name=COMPARABLE_CHECK,
                    description=escape_markdown(str(error)),
                )
                raise dg.Failure(str(error), allow_retries=False) from error
            address = publish(here.store, here.warehouse, use_case, comparison, rows, prompt)
            table = here.warehouse.table_id(MODEL_COMPARISONS.name)
            trend: list[TrendPoint] = []
            with bookkeeping("The trend", "It is drawn again with the next comparison."):
                trend = read_trend(here.warehouse, use_case.name, comparison.primary_metric)
        context.log.info(f"Compared {len(comparison.leaderboard)} candidates on the same rows")
        yield dg.MaterializeResult(
            value=comparison,
            data_version=dg.DataVersion(comparison.id),
            check_results=[
                dg.AssetCheckResult(
                    passed=True,
                    check_name=COMPARABLE_CHECK,
                    metadata={
                        "evaluation_digest": comparison.evaluation_digest,
                        "prompt_digest": comparison.prompt_digest,
                        "judge_digest": comparison.judge_digest or "(no judge)",
                    },
                )
            ],
            metadata={
                **_metadata(use_case, comparison, rows, trend),
                "dagster/uri": address,
                "dagster/table_name": table,
                "dagster/row_count": len(comparison.leaderboard),
            },
        )

    return [model_comparison]


def _metadata(
    use_case: UseCase, comparison: Comparison, rows: Rows, trend: Sequence[TrendPoint]
) -> dict[str, Any]:
    challenger, metric = use_case.gate.challenger, comparison.primary_metric
    metrics = use_case.evaluation.metric_names()
    against = opponent(comparison, challenger)
    board = leaderboard_sheet(comparison)
    ours = [d for d in comparison.differences if d.challenger == challenger]
    versus = differences_sheet(d for d in ours if d.metric == metric)
    # The column of the UI is narrow: few and short columns first, whole tables in a window.
    sheets = {
        "leaderboard": board.of("candidate", metric, "cost, USD"),
        "challenger_against": versus.of("against", "difference", "p (Holm)"),
        "significance": better_than_sheet(comparison, metric),
        f"rows_lost_to_{against}": losses_sheet(comparison, rows, challenger, metric),
        "all_metrics": means_sheet(comparison, metrics),
        "all_differences": differences_sheet(ours),
        "all_pairs": significance_sheet(comparison, metric),
    }
    images = {
        "scores": charts.leaderboard_chart(comparison, challenger),
        "quality_and_cost": charts.pareto_chart(comparison, challenger),
        "trend": charts.trend_chart(trend, metric) if len({p.created for p in trend}) > 1 else None,
    }
    return {
        **{
            name: markdown_table(sheet.headers, sheet.rows)
            for name, sheet in sheets.items()
            if sheet is not None
        },
        **{
            name: chart_image(chart, name.replace("_", " "))
            for name, chart in images.items()
            if chart is not None
        },
        "pareto_front": ", ".join(comparison.pareto) or "(cost or latency unknown)",
        "champion": comparison.champion or "(none yet)",
    }
