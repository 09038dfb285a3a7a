"""Which checkpoint of a tuned model does best on the validation set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.prompts.rendering import CONTENTS
from genaiops_dagster.prompts.tokens import sample
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.evaluation import MetricSummary
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record
from genaiops_dagster.records.tuning import Checkpoint, TunedModel
from genaiops_dagster.use_case import GenerationConfig, UseCase
from genaiops_dagster.use_case.evaluation import Evaluation

if TYPE_CHECKING:
    import altair as alt


class NoValidationSetError(ValueError):
    """There are no validation rows by which a checkpoint could be chosen."""


class CheckpointScore(Record):
    """A checkpoint and how it did on the validation set."""

    checkpoint: Checkpoint
    score: MetricSummary


def selection_metric(evaluation: Evaluation) -> str:
    """The computed metric by which checkpoints are chosen: the primary one, if it is computed."""
    computed = [metric.rpartition(":")[2] for metric in evaluation.metrics]
    primary = evaluation.primary_metric
    return primary if primary in computed else computed[0]


def checkpoint_tasks(
    use_case: str,
    evaluation: Evaluation,
    tuned: TunedModel,
    validation_set: DatasetSplit,
    prompt: PromptVersion,
    generation: GenerationConfig,
) -> list[EvaluationTask]:
    """The evaluation of every checkpoint in the selection metric alone, oldest first.

    Judge, suites and golden cases are left out. `validation_set` is as `validation_examples` makes
    it, and `prompt` is the one that the model was trained with.
    """
    metric = selection_metric(evaluation)
    own = next(m for m in evaluation.metrics if m.rpartition(":")[2] == metric)
    alone = {
        "metrics": [own],
        "primary_metric": metric,
        "judge": None,
        "suites": [],
        "golden": [],
        "experiment": None,
    }
    return [
        EvaluationTask(
            use_case=use_case,
            evaluation=evaluation.model_copy(update=alone),
            candidate=f"epoch_{checkpoint.epoch}",
            model=Model(checkpoint.endpoint, tuned.base_model, generation),
            prompt=prompt,
            evaluation_set=validation_set,
        )
        for checkpoint in tuned.checkpoints
    ]


def best_checkpoint(scores: Sequence[CheckpointScore]) -> Checkpoint | None:
    """The checkpoint with the highest mean, the earliest of equals; None when none has a score."""
    scored = [(s.score.mean, s.checkpoint) for s in scores if s.score.mean is not None]
    if not scored:
        return None
    return max(scored, key=lambda one: (one[0], -one[1].epoch))[1]


def validation_examples(
    store: ObjectStore, use_case: UseCase, validation_set: DatasetSplit
) -> DatasetSplit:
    """The validation set, which is in tuning form, as examples that a model can be asked.

    Raises:
        NoValidationSetError: it has no rows.
    """
    with store.open(store.name_of(validation_set.uri)) as stream:
        lines = (line for line in stream if line.strip())
        chosen, total = sample(lines, use_case.tuning.checkpoint_rows, use_case.split.seed)
    if not total:
        raise NoValidationSetError(
            f"{use_case.name}: `checkpoint: best` is chosen by the validation set, which is empty; "
            "give it a share in `split.validation`, or name an epoch"
        )
    examples = [_example(number, line) for number, line in enumerate(chosen)]
    content = "".join(f"{example.model_dump_json()}\n" for example in examples)
    digest = fingerprint(content)
    name = Layout(use_case.name).choosing(validation_set.dataset_digest, digest)
    store.write_once(name, content.encode(), "application/jsonl")
    return validation_set.model_copy(
        update={
            "name": "evaluation",
            "uri": store.uri(name),
            "digest": digest,
            "rows": len(examples),
            "characters": len(content),
        }
    )


def _example(number: int, line: bytes) -> Example:
    """A tuning line: all turns but the last are asked, the last is expected."""
    turns = json.loads(line)["contents"]
    answer = "".join(part.get("text", "") for part in turns[-1]["parts"])
    identity = f"validation-{number}-{fingerprint(turns)[:12]}"
    return Example(
        id=identity, group=identity, slices={}, variables={CONTENTS: turns[:-1]}, output=answer
    )


def checkpoint_chart(scores: Sequence[CheckpointScore], metric: str) -> alt.LayerChart:
    """Score on the validation set by epoch, with its interval."""
    import altair as alt

    rows = [
        {"epoch": one.checkpoint.epoch, **one.score.model_dump(include={"mean", "low", "high"})}
        for one in scores
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=alt.X("epoch:O", axis=alt.Axis(labelAngle=0)))
    axis = alt.Y("mean:Q", title=f"{metric}, 95 % interval", scale=alt.Scale(zero=False))
    intervals = base.mark_rule().encode(y=alt.Y("low:Q", title=None), y2="high:Q")
    means = base.mark_line(point=True).encode(y=axis)
    return (intervals + means).properties(width=420, height=220)
