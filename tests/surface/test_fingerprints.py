"""By what kept results are found again: fingerprints of the steps of the use cases that ship.

One that changes makes every user pay again for what they have. They are made over data of this
file: the emulator's public data come from the interpreter's library, and differ between versions
of Python. A judge template that is given by name comes from the Vertex AI SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, meta

from genaiops_dagster.evaluation.asking.inference import Model, contents_key
from genaiops_dagster.evaluation.judging.judge import judge_digest
from genaiops_dagster.evaluation.judging.pairwise import pairwise_digest
from genaiops_dagster.evaluation.scoring.metrics import metrics_digest
from genaiops_dagster.evaluation.suites.cases import suites_digest
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.promotion.decide import policy_digest
from genaiops_dagster.prompts.rendering import (
    candidate_prompt,
    request_contents,
    tuning_line,
    version,
)
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.serving.load_testing.load_test import LoadTask
from genaiops_dagster.tuning.recipe import tuning_recipe
from genaiops_dagster.use_case import UseCase, load_use_case
from genaiops_dagster.use_case.section import TUNED
from genaiops_dagster.use_case.serving import LoadTestPolicy
from tests.surface.conftest import Compare
from tests.surface.test_definitions import FILES

ENDPOINT = "projects/p/locations/us-central1/endpoints/1"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_fingerprints(path: Path, compare: Compare) -> None:
    compare(f"fingerprints_{path.stem}", picture(load_use_case(path)))


def picture(use_case: UseCase) -> dict[str, Any]:
    """Fingerprints by what they are of."""
    prompt = version(use_case.prompt)
    template = Environment().parse(use_case.prompt.template)
    variables = {name: f"<{name}>" for name in sorted(meta.find_undeclared_variables(template))}
    evaluation, judge = use_case.evaluation, use_case.evaluation.judge
    sweep = use_case.tuning.sweep
    variants = [None, *(name for name, _ in sweep.variants())] if sweep else [None]
    shown = {
        "prompt": prompt.digest,
        "other prompts": {name: version(one).digest for name, one in use_case.prompts.items()},
        "a message": contents_key(request_contents(prompt, variables)),
        "a tuning line": fingerprint(tuning_line(prompt, variables, "<output>")),
        "gate policy": policy_digest(use_case),
        "metrics": metrics_digest(evaluation.metrics),
        "judge": judge_digest(judge),
        "preferences": pairwise_digest(judge, judge.pairwise) if judge and judge.pairwise else "",
        "suites": suites_digest(evaluation, prompt),
        "tuning": {name or "": _recipe(use_case, prompt.digest, name) for name in variants},
        "answers": {name: _task(use_case, name).configuration for name in use_case.candidates},
        "reports": {name: _task(use_case, name).fingerprint for name in use_case.candidates},
        "load test": _load_test(use_case),
    }
    return {name: value for name, value in shown.items() if value}


def _split(name: Any, prompt_digest: str) -> DatasetSplit:
    return DatasetSplit(
        name=name,
        uri=f"gs://bucket/{name}.jsonl",
        digest=f"digest of the {name} set",
        dataset_digest="digest of the data",
        prompt_digest=prompt_digest,
        rows=100,
        characters=1000,
    )


def _recipe(use_case: UseCase, prompt_digest: str, variant: str | None) -> str:
    store: Any = None  # nothing in these files is read from a bucket
    training, validation = (_split(name, prompt_digest) for name in ("training", "validation"))
    return tuning_recipe(use_case, store, training, validation, variant).fingerprint


def _task(use_case: UseCase, name: str) -> EvaluationTask:
    candidate = use_case.candidates[name]
    address = ENDPOINT if candidate.model == TUNED else candidate.model
    prompt = candidate_prompt(use_case, name, version(use_case.prompt))
    model = Model(address, candidate.model, candidate.generation)
    return EvaluationTask(
        use_case.name,
        use_case.evaluation,
        name,
        model,
        prompt,
        _split("evaluation", prompt.digest),
    )


def _load_test(use_case: UseCase) -> str:
    task = _task(use_case, use_case.gate.challenger)
    policy = use_case.serving.load_test or LoadTestPolicy()
    return LoadTask(use_case.name, policy, task.candidate, task.model, task.prompt, []).fingerprint
