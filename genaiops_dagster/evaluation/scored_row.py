"""From an answer to a scored row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from genaiops_dagster.evaluation.judging.judge import JudgePanel
from genaiops_dagster.evaluation.scoring.metrics import Score
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.evaluation import Answer, RowResult


def answer_text(answer: Answer) -> str | None:
    """The scored text: the answer, or its tool calls as JSON."""
    if not answer.tool_calls:
        return answer.text
    return json.dumps({"content": answer.text or "", "tool_calls": answer.tool_calls})


def unscored_row(example: Example, answer: Answer) -> RowResult:
    """The row with its answer, before any metric."""
    return RowResult(
        id=example.id,
        group=example.group,
        slices=example.slices,
        reference=example.output,
        state=answer.state,
        reason=answer.reason,
        answer=answer.text,
        tool_calls=answer.tool_calls,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        latency_seconds=answer.latency_seconds,
        model_version=answer.model_version,
        batch=answer.batch,
    )


async def score_row(
    example: Example,
    question: str,
    answer: Answer,
    metrics: Mapping[str, Score],
    panel: JudgePanel | None,
) -> RowResult:
    """The row with its scores; a truncated answer is scored as it would be served.

    Blocked and failed rows have no scores: they count against coverage, not as zeros. A judge is
    shown `question`, the expected output and the row's variables.
    """
    row = unscored_row(example, answer)
    text = answer_text(answer)
    if answer.state not in {"answered", "truncated"} or text is None:
        return row
    variables = {name: str(value) for name, value in example.variables.items()}
    fields = {**variables, "prompt": question, "reference": example.output, "response": text}
    # The judge first: libraries of metrics take seconds to load, and its quota would be idle.
    rated = await panel.rate(fields) if panel else {}
    scores, errors = await asyncio.to_thread(compute_scores, text, example, metrics)
    return row.model_copy(
        update={
            "scores": scores | {name: found.score for name, found in rated.items()},
            "errors": errors
            | {n: found.errors[0] for n, found in rated.items() if found.score is None},
            "ratings": {name: found.ratings for name, found in rated.items()},
            "explanations": {n: found.explanation for n, found in rated.items() if found.ratings},
        }
    )


def compute_scores(
    text: str, example: Example, metrics: Mapping[str, Score]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Scores by metric, and the errors of those that failed."""
    scores: dict[str, float | None] = {}
    errors: dict[str, str] = {}
    for name, score in metrics.items():
        try:
            scores[name] = score(text, example)
        except Exception as error:  # noqa: BLE001 - a metric may be anybody's function
            scores[name] = None
            errors[name] = f"{type(error).__name__}: {error}"[:300]
    return scores, errors
