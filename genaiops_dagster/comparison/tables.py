"""Reports and comparisons as rows of BigQuery tables, keyed so that writing twice changes nothing.

Texts of rows stay in Cloud Storage: the tables hold figures, states and addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from genaiops_dagster.comparison.differences import Rows
from genaiops_dagster.google_cloud.warehouse import Column, Table, Warehouse
from genaiops_dagster.prompts.rendering import candidate_prompt, render
from genaiops_dagster.records import layout
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import EvaluationReport, MetricSummary, RowResult, RowState
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import UseCase

_RUN_KEYS = (
    Column("use_case", "STRING", "Use case that was evaluated.", "REQUIRED"),
    Column("evaluation_id", "STRING", "Fingerprint of the report.", "REQUIRED"),
    Column("candidate", "STRING", "Candidate, or `champion`.", "REQUIRED"),
)
_CREATED = Column("created", "TIMESTAMP", "When the report was made.", "REQUIRED")
_KEY_NAMES = tuple(column.name for column in _RUN_KEYS)

EVALUATION_RUNS = Table(
    name=layout.EVALUATION_RUNS,
    description="One candidate evaluated on one evaluation set.",
    columns=(
        *_RUN_KEYS,
        _CREATED,
        Column("model", "STRING", "Endpoint or base model that answered."),
        Column("model_version", "STRING", "What the responses say answered."),
        Column("evaluation_digest", "STRING", "Digest of the evaluation set."),
        Column("prompt_digest", "STRING", "Digest of prompt and system instruction."),
        Column("judge_digest", "STRING", "Digest of judge and judged metrics; empty: no judge."),
        Column("row_count", "INT64", "Rows of the evaluation set."),
        Column("answered", "INT64", "Rows answered."),
        Column("blocked", "INT64", "Rows blocked by a safety filter."),
        Column("truncated", "INT64", "Rows whose answer was cut off."),
        Column("failed", "INT64", "Rows whose request failed."),
        Column("input_tokens", "INT64", "Tokens in, of all answers."),
        Column("output_tokens", "INT64", "Tokens out, of all answers."),
        Column("cost_usd", "FLOAT64", "Price of answers and judgements in US dollars."),
        Column("latency_p50_seconds", "FLOAT64", "Median latency of an answer."),
        Column("latency_p95_seconds", "FLOAT64", "95th percentile of the latency."),
        Column("rows_uri", "STRING", "Parquet file with every row."),
        Column("summary_uri", "STRING", "JSON file of the report."),
        Column("emulated", "BOOL", "Whether the emulator answered; then nothing was charged."),
    ),
    keys=_KEY_NAMES,
    partition="created",
    clustering=("use_case", "candidate"),
)

EVALUATION_METRICS = Table(
    name=layout.EVALUATION_METRICS,
    description="Mean of one metric of one evaluation, over all rows or one slice.",
    columns=(
        *_RUN_KEYS,
        Column("metric", "STRING", "Name of the metric.", "REQUIRED"),
        Column("slice", "STRING", "Slice name; empty for all rows.", "REQUIRED"),
        Column("slice_value", "STRING", "Slice value; empty for all rows.", "REQUIRED"),
        _CREATED,
        Column("mean", "FLOAT64", "Mean score; NULL: no row has one."),
        Column("low", "FLOAT64", "Lower bound of the 95 % interval."),
        Column("high", "FLOAT64", "Upper bound of the 95 % interval."),
        Column("row_count", "INT64", "Rows with a score."),
        Column("errors", "INT64", "Rows that should have a score and have none."),
    ),
    keys=(*_KEY_NAMES, "metric", "slice", "slice_value"),
    partition="created",
    clustering=("use_case", "candidate", "metric"),
)

EVALUATION_ROWS = Table(
    name=layout.EVALUATION_ROWS,
    description="One row of one evaluation: how it ended and how it scored.",
    columns=(
        *_RUN_KEYS,
        Column("row_id", "STRING", "Id of the example.", "REQUIRED"),
        _CREATED,
        Column("row_group", "STRING", "Group of the example."),
        Column("slices", "JSON", "Values by slice name."),
        Column("state", "STRING", "answered, blocked, truncated or failed."),
        Column("reason", "STRING", "Why the row was not answered."),
        Column("scores", "JSON", "Score by metric; null where there is none."),
        Column("input_tokens", "INT64", "Tokens in."),
        Column("output_tokens", "INT64", "Tokens out."),
        Column("latency_seconds", "FLOAT64", "From request to complete response."),
    ),
    keys=(*_KEY_NAMES, "row_id"),
    partition="created",
    clustering=("use_case", "candidate"),
)

MODEL_COMPARISONS = Table(
    name=layout.MODEL_COMPARISONS,
    description="One candidate's place in one comparison of all candidates on the same rows.",
    columns=(
        Column("use_case", "STRING", "Use case that was compared.", "REQUIRED"),
        Column("comparison_id", "STRING", "Fingerprint of the comparison.", "REQUIRED"),
        Column("candidate", "STRING", "Candidate, or `champion`.", "REQUIRED"),
        Column("eval_date", "DATE", "Day of the comparison, UTC.", "REQUIRED"),
        Column("created", "TIMESTAMP", "When the newest report was made.", "REQUIRED"),
        Column("rank", "INT64", "1 is the best by the primary metric."),
        Column("evaluated_model", "STRING", "Endpoint or base model that answered."),
        Column("model_version", "STRING", "What the responses say answered."),
        Column("generation_config", "JSON", "Generation config of the candidate."),
        Column("system_instruction", "STRING", "System instruction of the candidate."),
        Column("sample_prompt", "STRING", "The prompt, rendered with a sample of the use case."),
        Column("tools", "JSON", "Tools that the candidate could use."),
        Column("primary_metric", "STRING", "Metric that orders the leaderboard."),
        Column("primary_mean", "FLOAT64", "Its mean."),
        Column("primary_low", "FLOAT64", "Lower bound of its 95 % interval."),
        Column("primary_high", "FLOAT64", "Upper bound of its 95 % interval."),
        Column("metrics", "JSON", "Mean by metric."),
        Column("row_count", "INT64", "Rows of the evaluation set."),
        Column("answered", "INT64", "Rows answered."),
        Column("cost_usd", "FLOAT64", "Price of answers and judgements in US dollars."),
        Column("latency_p50_seconds", "FLOAT64", "Median latency of an answer."),
        Column("on_pareto_front", "BOOL", "No other beats it in quality, cost and latency."),
        Column("evaluation_id", "STRING", "Fingerprint of the candidate's report."),
        Column("evaluation_digest", "STRING", "Digest of the evaluation set."),
        Column("prompt_digest", "STRING", "Digest of prompt and system instruction."),
        Column("judge_digest", "STRING", "Digest of judge and judged metrics; empty: no judge."),
        Column("emulated", "BOOL", "Whether the emulator answered; then nothing was charged."),
    ),
    keys=("use_case", "comparison_id", "candidate"),
    partition="eval_date",
    clustering=("use_case", "candidate"),
)

LATEST_LEADERBOARD = layout.LATEST_LEADERBOARD
LATEST_LEADERBOARD_DESCRIPTION = "The newest comparison of each use case, for dashboards."


def latest_leaderboard_sql(warehouse: Warehouse) -> str:
    """Query of the view `latest_leaderboard`."""
    table = warehouse.table_id(MODEL_COMPARISONS.name)
    return (
        f"SELECT * FROM `{table}` WHERE TRUE "  # noqa: S608 - the name is a constant
        "QUALIFY DENSE_RANK() OVER (PARTITION BY use_case ORDER BY created DESC, comparison_id) = 1"
    )


def run_row(report: EvaluationReport) -> dict[str, Any]:
    """A report's row of `evaluation_runs`."""
    states = get_args(RowState)
    return {
        **_keys(report),
        **_same_named(EVALUATION_RUNS, report),
        "row_count": report.rows,
        **{state: report.states.get(state, 0) for state in states},
    }


def metric_rows(report: EvaluationReport) -> Iterator[dict[str, Any]]:
    """A report's rows of `evaluation_metrics`: over all rows, then by slice."""
    for metric, summary in report.metrics.items():
        yield _metric_row(report, metric, "", "", summary)
    for name, values in report.slices.items():
        for value, metrics in values.items():
            for metric, summary in metrics.items():
                yield _metric_row(report, metric, name, value, summary)


def row_rows(report: EvaluationReport, rows: Iterable[RowResult]) -> Iterator[dict[str, Any]]:
    """A report's rows of `evaluation_rows`."""
    keys = _keys(report) | {"created": report.created}
    for row in rows:
        yield {
            **keys,
            **_same_named(EVALUATION_ROWS, row),
            "row_id": row.id,
            "row_group": row.group,
        }


def comparison_rows(
    use_case: UseCase, comparison: Comparison, prompt: PromptVersion
) -> list[dict[str, Any]]:
    """A comparison's rows of `model_comparisons`, best candidate first."""
    return [
        _comparison_row(use_case, comparison, report, rank)
        | _prompt_columns(use_case, report.candidate, prompt)
        for rank, report in enumerate(comparison.leaderboard, start=1)
    ]


def _prompt_columns(use_case: UseCase, candidate: str, prompt: PromptVersion) -> dict[str, Any]:
    """A candidate's prompt; unknown for a champion that is no longer a candidate."""
    if candidate not in use_case.candidates:
        return {"sample_prompt": None, "system_instruction": None}
    shown = candidate_prompt(use_case, candidate, prompt)
    samples = use_case.serving.samples
    return {
        "sample_prompt": render(shown, samples[0]) if samples else shown.template,
        "system_instruction": shown.system_instruction,
    }


def _comparison_row(
    use_case: UseCase, comparison: Comparison, report: EvaluationReport, rank: int
) -> dict[str, Any]:
    candidate = use_case.candidates.get(report.candidate)
    config = candidate.generation if candidate else None
    primary = report.metrics.get(comparison.primary_metric)
    return {
        "use_case": comparison.use_case,
        "comparison_id": comparison.id,
        "candidate": report.candidate,
        "eval_date": comparison.created[:10],
        "created": comparison.created,
        "rank": rank,
        "evaluated_model": report.model,
        "model_version": report.model_version,
        "generation_config": config.model_dump(mode="json", exclude={"tools"}) if config else None,
        "tools": config.tools if config else [],
        "primary_metric": comparison.primary_metric,
        "primary_mean": primary.mean if primary else None,
        "primary_low": primary.low if primary else None,
        "primary_high": primary.high if primary else None,
        "metrics": {name: summary.mean for name, summary in report.metrics.items()},
        "row_count": report.rows,
        "answered": report.states.get("answered", 0),
        "cost_usd": report.cost_usd,
        "latency_p50_seconds": report.latency_p50_seconds,
        "on_pareto_front": report.candidate in comparison.pareto,
        "evaluation_id": report.fingerprint,
        "evaluation_digest": report.evaluation_digest,
        "prompt_digest": report.prompt_digest,
        "judge_digest": report.judge_digest,
        "emulated": report.emulated,
    }


def table_rows(
    use_case: UseCase,
    comparison: Comparison,
    rows: Rows,
    prompt: PromptVersion,
) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Everything that a comparison writes, table by table.

    `prompt` is that of candidates that do not name a variant.
    """
    board = comparison.leaderboard
    yield EVALUATION_RUNS, [run_row(report) for report in board]
    yield EVALUATION_METRICS, [row for report in board for row in metric_rows(report)]
    yield (
        EVALUATION_ROWS,
        [row for report in board for row in row_rows(report, rows[report.candidate])],
    )
    yield MODEL_COMPARISONS, comparison_rows(use_case, comparison, prompt)


def _keys(report: EvaluationReport) -> dict[str, Any]:
    return {
        "use_case": report.use_case,
        "evaluation_id": report.fingerprint,
        "candidate": report.candidate,
    }


def _metric_row(
    report: EvaluationReport, metric: str, name: str, value: str, summary: MetricSummary
) -> dict[str, Any]:
    return {
        **_keys(report),
        **_same_named(EVALUATION_METRICS, summary),
        "metric": metric,
        "slice": name,
        "slice_value": value,
        "created": report.created,
        "row_count": summary.rows,
    }


def _same_named(table: Table, record: Record) -> dict[str, Any]:
    """The fields of a record that a table has columns for."""
    names = type(record).model_fields
    return {c.name: getattr(record, c.name) for c in table.columns if c.name in names}
