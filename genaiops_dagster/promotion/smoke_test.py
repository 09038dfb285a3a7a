"""The smoke test: whether a champion answers at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from genaiops_dagster.evaluation.inference import content_config, read_answer
from genaiops_dagster.promotion.records import Champion
from genaiops_dagster.prompts.records import PromptVersion
from genaiops_dagster.prompts.rendering import request_contents
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

_SAMPLES = 3
_ANYTHING = [{"role": "user", "parts": [{"text": "Are you there?"}]}]


class SmokeTestError(RuntimeError):
    """A champion does not answer; the message says what came instead."""


def smoke_test(vertex_ai: VertexAI, use_case: UseCase, champion: Champion) -> None:
    """Ask a champion, with its own prompt and config, for a few of the use case's samples.

    Raises:
        SmokeTestError: the model cannot be called, or does not answer in full.
    """
    from google.genai.errors import APIError

    prompt = PromptVersion(
        template=champion.prompt_template,
        system_instruction=champion.system_instruction,
        files=champion.prompt_files,
        digest=champion.prompt_digest,
    )
    config = content_config(champion.system_instruction, champion.generation)
    samples = use_case.serving.samples[:_SAMPLES]
    questions = [request_contents(prompt, sample) for sample in samples] or [_ANYTHING]
    for question in questions:
        started = time.perf_counter()
        try:
            response = vertex_ai.genai.models.generate_content(
                model=vertex_ai.model_address(champion.model), contents=question, config=config
            )
        except APIError as error:
            raise SmokeTestError(
                f"champion {champion.number} ({champion.model}) cannot be called: {error}"
            ) from error
        answer = read_answer(response, time.perf_counter() - started)
        if answer.state not in ("answered", "truncated"):
            raise SmokeTestError(
                f"champion {champion.number} ({champion.model}) does not answer: "
                f"{answer.state}: {answer.reason}"
            )
