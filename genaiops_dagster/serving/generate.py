"""Content from the champion: the same prompt and config as it was evaluated with."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.estimate import estimate_of, price_requests
from genaiops_dagster.budget.pricing import token_cost
from genaiops_dagster.budget.records import CostEstimate
from genaiops_dagster.budget.tokens import CountTokens, TokenTotal, user_message
from genaiops_dagster.evaluation.inference import content_config, read_answer
from genaiops_dagster.fingerprint import fingerprint
from genaiops_dagster.promotion.records import Champion
from genaiops_dagster.prompts.records import PromptVersion
from genaiops_dagster.prompts.rendering import request_contents, version
from genaiops_dagster.serving.records import GeneratedContent, Generation
from genaiops_dagster.use_case import Prompt, UseCase

if TYPE_CHECKING:
    from google import genai

    from genaiops_dagster.google_cloud.object_store import ObjectStore

VERSION = 1
_CONCURRENCY = 8

Sample = dict[str, Any]
"""Variables of the prompt template, as a use case file lists them."""


class PromptParityError(RuntimeError):
    """The champion's prompt is not the one that it was evaluated with."""


def prompt_of(champion: Champion) -> PromptVersion:
    """The prompt that the champion was evaluated with.

    Raises:
        PromptParityError: template and system instruction do not have the digest that was judged.
    """
    prompt = version(
        Prompt(
            template=champion.prompt_template,
            system_instruction=champion.system_instruction,
            files=champion.prompt_files,
        )
    )
    if prompt.digest != champion.prompt_digest:
        raise PromptParityError(
            f"{champion.use_case}: the prompt of champion {champion.number} was changed after its "
            f"promotion (digest {prompt.digest[:12]}, evaluated with "
            f"{champion.prompt_digest[:12]}); promote or roll back again"
        )
    return prompt


def content_fingerprint(champion: Champion, samples: Sequence[Sample]) -> str:
    """sha256 over all that decides the content."""
    return fingerprint(
        VERSION, champion.model, champion.generation, champion.prompt_digest, list(samples)
    )


def content_name(use_case: str, content: str) -> str:
    """Object name of content with the fingerprint `content`."""
    return f"{use_case}/generated/{content}.jsonl"


def estimate_content(
    use_case: UseCase,
    champion: Champion,
    samples: Sequence[Sample],
    count: CountTokens,
    *,
    emulated: bool,
) -> CostEstimate:
    """What generating from `samples` may cost, with every prompt counted.

    Args:
        use_case: Its own prices.
        champion: Whose prompt, config and base model apply.
        samples: Rows to generate from.
        count: Counts the tokens of messages.
        emulated: Whether the emulator answers.
    """
    prompt = prompt_of(champion)
    instruction = (
        count([user_message(prompt.system_instruction)]) if prompt.system_instruction else 0
    )
    prompts = [count(request_contents(prompt, sample)) + instruction for sample in samples]
    longest_answer = champion.generation.max_output_tokens
    stage = price_requests(
        use_case.budget.prices,
        stage="generation",
        candidate=champion.candidate,
        model=champion.base_model,
        calls=len(samples),
        prompts=TokenTotal(sum(prompts)),
        output_tokens=longest_answer * len(samples),
        maximum_output_tokens=longest_answer * len(samples),
        longest=(max(prompts, default=0), longest_answer),
        basis=f"{len(samples)} samples",
    )
    return estimate_of(use_case.name, [stage], emulated=emulated)


def generate(
    client: genai.Client, champion: Champion, address: str, samples: Sequence[Sample]
) -> list[Generation]:
    """Ask the champion for each sample, a few at a time; answers are in the order of samples.

    Args:
        client: Gen AI client; it retries what may pass.
        champion: Whose prompt and generation config are used.
        address: Resource name of its model.
        samples: Rows of template variables.

    Raises:
        PromptError: a sample lacks a variable of the template.
        google.genai.errors.APIError: the service did not answer.
    """
    prompt = prompt_of(champion)
    config = content_config(champion.system_instruction, champion.generation)

    def ask(numbered: tuple[int, Sample]) -> Generation:
        number, sample = numbered
        contents = request_contents(prompt, sample)
        started = time.perf_counter()
        response = client.models.generate_content(model=address, contents=contents, config=config)
        answer = read_answer(response, time.perf_counter() - started)
        return Generation(sample=number, prompt_digest=prompt.digest, answer=answer)

    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        return list(pool.map(ask, enumerate(samples)))


def read_content(store: ObjectStore, name: str) -> list[Generation] | None:
    """Content that was generated before, or None."""
    stored = store.read(name)
    if stored is None:
        return None
    return [Generation.model_validate_json(line) for line in stored.splitlines()]


def write_content(store: ObjectStore, name: str, generations: Sequence[Generation]) -> None:
    """Keep content under its fingerprint, which is written once."""
    lines = "".join(f"{generation.model_dump_json()}\n" for generation in generations)
    store.write_once(name, lines.encode(), "application/jsonl")


def summarize(
    use_case: UseCase,
    champion: Champion,
    uri: str,
    content: str,
    generations: Sequence[Generation],
    *,
    emulated: bool,
) -> GeneratedContent:
    """Counts, usage and price of generated content.

    Args:
        use_case: Its own prices.
        champion: What generated.
        uri: Where the content is kept.
        content: Its fingerprint.
        generations: The content.
        emulated: Whether the emulator answered.
    """
    answers = [generation.answer for generation in generations]
    input_tokens = sum(answer.input_tokens for answer in answers)
    output_tokens = sum(answer.output_tokens for answer in answers)
    return GeneratedContent(
        fingerprint=content,
        champion=champion.number,
        model=champion.model,
        model_versions=sorted({answer.model_version for answer in answers}),
        prompt_digest=champion.prompt_digest,
        uri=uri,
        rows=len(answers),
        states=dict(Counter(answer.state for answer in answers)),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=token_cost(
            champion.base_model,
            input_tokens,
            output_tokens,
            requests=len(answers),
            prices=use_case.budget.prices,
        ),
        latency_seconds=max((answer.latency_seconds for answer in answers), default=0.0),
        emulated=emulated,
    )
