"""The smoke test: whether a champion answers at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from genaiops_dagster.evaluation.asking.inference import Model, content_config, read_answer
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.prompts.rendering import request_contents
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

_SAMPLES = 3
_ANYTHING = [{"role": "user", "parts": [{"text": "Are you there?"}]}]


class SmokeTestError(RuntimeError):
    """A champion does not answer; the message says what came instead."""


CHECK = "smoke_test"
"""Name of the check of the asset `champion` that shows the test's result."""


def smoke_test(
    models: VertexAI, samples: Sequence[Mapping[str, Any]], clock: Clock, champion: Champion
) -> list[Answer]:
    """Ask a champion, with its own prompt and config, for the first few of `samples`.

    These few requests do not count against the budget: an empty budget must not keep anybody
    from rolling back.

    Returns:
        The answers, each in full.

    Raises:
        SmokeTestError: the model cannot be called, or does not answer in full.
    """
    from google.genai.errors import APIError

    asked = Model(champion.model, champion.base_model, champion.generation)
    config = content_config(asked, champion.system_instruction)
    questions = [request_contents(champion.prompt, sample) for sample in samples[:_SAMPLES]] or [
        _ANYTHING
    ]
    address = models.model_address(champion.model)
    client, address = models.serving(address).genai, models.served_address(address)
    answers = []
    for question in questions:
        started = clock.elapsed()
        try:
            response = client.models.generate_content(
                model=address, contents=question, config=config
            )
        except APIError as error:
            raise SmokeTestError(
                f"champion {champion.number} ({champion.model}) cannot be called: {error}"
            ) from error
        answer = read_answer(
            response, clock.elapsed() - started, champion.generation.max_output_tokens
        )
        if answer.state != "answered":
            raise SmokeTestError(
                f"champion {champion.number} ({champion.model}) does not answer in full: "
                f"{answer.state}: {answer.reason}"
            )
        answers.append(answer)
    return answers


def check_result(answers: Sequence[Answer], error: str = "") -> dg.AssetCheckResult:
    """The smoke test's result as a check of the asset `champion`.

    Args:
        answers: The champion's; none if it serves already and was asked when it was promoted.
        error: Why the test failed; empty if it passed.
    """
    seconds = [answer.latency_seconds for answer in answers]
    passed = f"{len(answers)} of {len(answers)} questions were answered"
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not error,
        description=escape_markdown(
            error or (passed if answers else "serves already; asked when it was promoted")
        ),
        metadata={"questions": len(answers), "longest_seconds": max(seconds, default=0.0)},
    )


def evaluation(
    use_case: UseCase, answers: Sequence[Answer], error: str = ""
) -> dg.AssetCheckEvaluation:
    """The same as an event, for a step that is not the asset's own."""
    result = check_result(answers, error)
    return dg.AssetCheckEvaluation(
        asset_key=asset_key(use_case, "champion"),
        check_name=CHECK,
        passed=result.passed,
        metadata=result.metadata,
        description=result.description,
        blocking=True,
    )
