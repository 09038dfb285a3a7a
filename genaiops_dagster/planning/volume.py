"""How much text a run handles: the stored data sets and prompts, counted or sampled."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.pricing import is_tuned
from genaiops_dagster.prompts.rendering import request_contents, version
from genaiops_dagster.prompts.tokens import (
    NO_TOKENS,
    Content,
    CountTokens,
    TokenTotal,
    count_all,
    count_sample,
    sample,
    user_message,
)
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.promotion import Champion, served_champion
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import from_line
from genaiops_dagster.tuning.recipe import training_data
from genaiops_dagster.use_case import GenerationConfig, UseCase
from genaiops_dagster.use_case.evaluation import Judge

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

_LINES_AT_ONCE = 2000
_LONGEST_COUNTED = 5


OWN_PROMPT = ""
"""In place of a variant's name: the use case's own prompt."""


@dataclass(frozen=True)
class PromptVolume:
    """The evaluation set rendered with one prompt.

    Attributes:
        tokens: Of all prompts, system instruction included.
        longest: Tokens of the longest one.
    """

    tokens: TokenTotal
    longest: int


@dataclass(frozen=True)
class ChampionVolume:
    """The evaluation set in the champion's own prompt, and how long its answers may be."""

    base_model: str
    tuned: bool
    generation: GenerationConfig
    prompts: PromptVolume


@dataclass(frozen=True)
class RunVolume:
    """How much text the stages of a run handle.

    Attributes:
        training_digest, evaluation_digest, prompt_digest: What was counted.
        training_rows: Lines of the training set.
        training: Tokens of the training set, once through.
        evaluation_rows: Rows that each candidate answers.
        prompts: The evaluation set by prompt variant, `OWN_PROMPT` among them.
        references, reference_characters: Tokens and characters of all expected outputs.
        samples: Rows of serving samples.
        sample_prompts: Their prompts.
        validation_rows: Rows by which the best checkpoint is chosen, where one is.
        champion: What production serves now is evaluated, too; None if there is no champion.
        labels: Ratings of people by which the judge is calibrated.
        label_tokens: What they show the judge.
    """

    training_digest: str
    evaluation_digest: str
    prompt_digest: str
    training_rows: int
    training: TokenTotal
    evaluation_rows: int
    prompts: Mapping[str, PromptVolume]
    references: TokenTotal
    samples: int
    sample_prompts: PromptVolume
    validation_rows: int = 0
    champion: ChampionVolume | None = None
    labels: int = 0
    label_tokens: TokenTotal = NO_TOKENS
    reference_characters: int = 0


def measure_run(
    use_case: UseCase,
    store: ObjectStore,
    count: CountTokens,
    *,
    training_set: DatasetSplit,
    validation_set: DatasetSplit,
    evaluation_set: DatasetSplit,
    prompt: PromptVersion,
) -> RunVolume:
    """Count the tokens that the stages of a run would handle.

    They are counted from a sample of `budget.token_sample_rows` rows, or exactly if that is None.
    """
    training_uri, training_digest = training_data(use_case.tuning, store, training_set)
    size, seed = use_case.budget.token_sample_rows, use_case.split.seed
    labels = _labels(use_case.evaluation.judge, store)
    volume = RunVolume(
        training_digest=training_digest,
        evaluation_digest="",
        prompt_digest=prompt.digest,
        training_rows=training_set.rows,
        training=count_training(count, _lines(store, training_uri), size, seed),
        evaluation_rows=0,
        prompts={},
        references=NO_TOKENS,
        samples=len(use_case.serving.samples),
        sample_prompts=_measure(count, prompt, use_case.serving.samples, None, seed),
        validation_rows=min(validation_set.rows, use_case.tuning.checkpoint_rows),
        labels=len(labels),
        label_tokens=_count(count, labels, size, seed),
    )
    return with_evaluation_set(volume, use_case, store, count, evaluation_set, prompt)


def with_evaluation_set(
    volume: RunVolume,
    use_case: UseCase,
    store: ObjectStore,
    count: CountTokens,
    evaluation_set: DatasetSplit,
    prompt: PromptVersion,
) -> RunVolume:
    """A volume as `measure_run` gives it, for a run whose candidates answer `evaluation_set`."""
    size, seed = use_case.budget.token_sample_rows, use_case.split.seed
    examples = [from_line(Example, line) for line in _lines(store, evaluation_set.uri)]
    rows = [example.variables for example in examples]
    variants = {candidate.prompt for candidate in use_case.candidates.values()} - {None}
    prompts = {
        OWN_PROMPT: prompt,
        **{name: version(use_case.prompts[name]) for name in variants if name},
    }

    def measure(version: PromptVersion) -> PromptVolume:
        return _measure(count, version, rows, size, seed)

    answers = [[{"role": "model", "parts": [{"text": e.output}]}] for e in examples]
    return replace(
        volume,
        evaluation_digest=evaluation_set.digest,
        evaluation_rows=len(examples),
        prompts={name: measure(version) for name, version in prompts.items()},
        references=_count(count, answers, size, seed),
        reference_characters=sum(len(example.output) for example in examples),
        champion=_champion(served_champion(store, use_case.name), measure),
    )


def _measure(
    count: CountTokens,
    prompt: PromptVersion,
    rows: Sequence[Mapping[str, Any]],
    size: int | None,
    seed: int,
) -> PromptVolume:
    """Rows rendered with a prompt."""
    prompts = [request_contents(prompt, row) for row in rows]
    instruction = (
        count([user_message(prompt.system_instruction)]) if prompt.system_instruction else 0
    )
    return PromptVolume(
        tokens=_count(count, prompts, size, seed) + TokenTotal(instruction * len(prompts)),
        longest=_longest(count, prompts) + instruction,
    )


def _champion(
    champion: Champion | None, measure: Callable[[PromptVersion], PromptVolume]
) -> ChampionVolume | None:
    if champion is None:
        return None
    return ChampionVolume(
        base_model=champion.base_model,
        tuned=is_tuned(champion.model),
        generation=champion.generation,
        prompts=measure(champion.prompt),
    )


def _labels(judge: Judge | None, store: ObjectStore) -> list[list[Content]]:
    """Ratings of people, each as a message; calibration itself says what is wrong with them."""
    if judge is None or judge.calibration is None:
        return []
    lines = (store.read(judge.calibration.labels) or b"").decode(errors="replace").splitlines()
    return [[user_message(line)] for line in lines if line.strip()]


def count_training(
    count: CountTokens, lines: Iterable[bytes], size: int | None, seed: int
) -> TokenTotal:
    """Tokens of tuning lines, once through; `size` None counts every line exactly."""
    if size is None:
        total = NO_TOKENS
        iterator = iter(lines)
        while chunk := list(itertools.islice(iterator, _LINES_AT_ONCE)):
            total += count_all(count, [m for line in chunk for m in _messages(line)])
        return total
    total_size = 0

    def measured() -> Iterator[bytes]:
        nonlocal total_size
        for line in lines:
            total_size += len(line)
            yield line

    chosen, rows = sample(measured(), size, seed)
    sampled = [(_messages(line), len(line)) for line in chosen]
    return count_sample(count, sampled, total_size, rows)


def _count(
    count: CountTokens, rows: Sequence[Sequence[Content]], size: int | None, seed: int
) -> TokenTotal:
    """Tokens of rows of messages."""
    if size is None or len(rows) <= size:
        return count_all(count, [message for row in rows for message in row])
    sized = [(row, _characters(row)) for row in rows]
    chosen, total = sample(sized, size, seed)
    return count_sample(count, chosen, sum(characters for _, characters in sized), total)


def _longest(count: CountTokens, rows: Sequence[Sequence[Content]]) -> int:
    """Tokens of the longest row, looked for among those with the most characters."""
    candidates = sorted(rows, key=_characters, reverse=True)[:_LONGEST_COUNTED]
    return max((count(row) for row in candidates), default=0)


def _characters(messages: Sequence[Content]) -> int:
    return sum(len(part.get("text", "")) for m in messages for part in m["parts"])


def _messages(line: bytes) -> list[Content]:
    """The messages of a tuning line: system instruction, turns, and completions of preferences."""
    content = json.loads(line)
    instruction = content.get("systemInstruction")
    first = [{"role": "user", "parts": instruction["parts"]}] if instruction else []
    rated = [choice["completion"] for choice in content.get("completions", [])]
    return [*first, *content["contents"], *rated]


def _lines(store: ObjectStore, uri: str) -> Iterator[bytes]:
    """Lines of a JSONL file, fetched as they are read."""
    with store.open(store.name_of(uri)) as stream:
        yield from (line for line in stream if line.strip())
