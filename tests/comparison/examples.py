"""Reports and rows made by hand, for tests of comparison and promotion."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from genaiops_dagster.evaluation.scoring.summary import row_figures
from genaiops_dagster.records.evaluation import ChampionEvaluation, EvaluationReport, RowResult
from genaiops_dagster.use_case import UseCase

NO_CHAMPION = ChampionEvaluation(number=None, report=None)


def make_use_case(
    rules: Sequence[Mapping[str, Any]] | None = None,
    *,
    name: str = "modules",
    evaluation: Mapping[str, Any] | None = None,
    **gate: Any,
) -> UseCase:
    """A use case with candidates `flash`, `pro` and `tuned`, and the metric exact_match."""
    return UseCase.model_validate(
        {
            "name": name,
            "description": "For tests.",
            "source": {"sql": "SELECT 1"},
            "columns": {"output": "answer", "slices": ["half"]},
            "prompt": {"template": "{{ question }}"},
            "candidates": {
                "flash": {"model": "gemini-3.5-flash"},
                "pro": {"model": "gemini-3.1-pro-preview"},
                "tuned": {"model": "tuned"},
            },
            "tuning": {"base_model": "gemini-3.5-flash"},
            "evaluation": evaluation or {},
            "gate": {
                "rules": rules
                or [{"rule": "better_than", "metric": "exact_match", "candidate": "flash"}],
                **gate,
            },
        }
    )


def make_rows(
    share: float,
    count: int = 200,
    *,
    seed: int = 0,
    metric: str = "exact_match",
    unanswered: int = 0,
) -> list[RowResult]:
    """Rows of which about `share` score 1; the last `unanswered` failed."""
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        failed = number >= count - unanswered
        score = float(generator.random() < share)
        rows.append(
            RowResult(
                id=f"row-{number:04d}",
                group=f"row-{number:04d}",
                slices={"half": "even" if number % 2 == 0 else "odd"},
                reference="json",
                state="failed" if failed else "answered",
                reason="503" if failed else None,
                answer=None if failed else ("json" if score else "csv"),
                scores={} if failed else {metric: score},
                input_tokens=20,
                output_tokens=2,
                latency_seconds=0.1,
                model_version="m-1",
            )
        )
    return rows


def make_report(candidate: str, rows: Sequence[RowResult], **changes: Any) -> EvaluationReport:
    """The report of `rows`."""
    metrics = sorted({metric for row in rows for metric in row.scores} or {"exact_match"})
    return EvaluationReport(
        **{
            "use_case": "modules",
            "candidate": candidate,
            "model": f"models/{candidate}",
            "model_version": "m-1",
            "fingerprint": f"report-of-{candidate}",
            "evaluation_digest": "data",
            "prompt_digest": "prompt",
            "judge_digest": "",
            "rows_uri": f"gs://bucket/modules/reports/{candidate}/rows.parquet",
            "summary_uri": f"gs://bucket/modules/reports/{candidate}/summary.json",
            "cost_usd": 0.01,
            "created": "2026-11-20T12:00:00+00:00",
            "emulated": True,
        }
        | row_figures(rows, metrics)
        | changes
    )
