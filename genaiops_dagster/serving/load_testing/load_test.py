"""Load tests: how fast a model answers under a load, and how much load it bears."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.pricing import PriceList, is_tuned, token_cost
from genaiops_dagster.budget.stage_costs import estimate_of, price_requests
from genaiops_dagster.evaluation.asking.inference import Contents, Model, content_config
from genaiops_dagster.promotion.objective import check_objective
from genaiops_dagster.prompts.tokens import CountTokens, TokenTotal, user_message
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.serving import LoadTest, Percentiles, StepResult
from genaiops_dagster.use_case.serving import LoadStep, LoadTestPolicy

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

_DRAIN_SECONDS = 300.0
"""Longest time that answers of the last step may take."""


Sample = dict[str, Any]
"""One request: step, times in seconds since 1970, tokens, and the error if it failed."""


class LoadTestError(RuntimeError):
    """The load test could not be run; the message says why."""


@dataclass(frozen=True)
class LoadTask:
    """The subject of a load test.

    Attributes:
        use_case: Name of the use case.
        policy: Steps and limits.
        candidate: Name under which the result is stored.
        model: What answers.
        prompt: The prompt with which it is asked.
        questions: What it is asked, again and again.
    """

    use_case: str
    policy: LoadTestPolicy
    candidate: str
    model: Model
    prompt: PromptVersion
    questions: Sequence[Contents]

    @property
    def fingerprint(self) -> str:
        """sha256 over all that decides the result but chance."""
        return fingerprint(
            self.policy,
            self.model.configuration(self.prompt.system_instruction),
            self.prompt.digest,
        )

    @property
    def is_grounded(self) -> bool:
        """Whether each request searches the web, which costs more."""
        return "google_search" in self.model.generation.tools


def estimate_load(
    task: LoadTask, count: CountTokens, prices: PriceList, *, emulated: bool
) -> CostEstimate:
    """The highest cost of a load test: as many requests as it may send, with the longest answers.

    Args:
        task: The subject of a load test.
        count: Counts the tokens of messages.
        prices: What applies.
        emulated: Whether the emulator answers.
    """
    system = task.prompt.system_instruction
    instruction = count([user_message(system)]) if system else 0
    prompts = [
        count([dict(turn) for turn in question]) + instruction for question in task.questions
    ]
    calls, longest = task.policy.expected_requests + 1, task.model.output_limit
    answer = min(task.model.generation.max_output_tokens + task.model.thinking.expected, longest)
    stage = price_requests(
        prices,
        stage="load_test",
        candidate=task.candidate,
        model=task.model.base_model,
        calls=calls,
        prompts=TokenTotal(sum(prompts) / len(prompts) * calls),
        output_tokens=answer * calls,
        maximum_output_tokens=longest * calls,
        longest=(max(prompts), longest),
        basis=f"at most {calls} requests",
        tuned=is_tuned(task.model.address),
        searches=calls if task.is_grounded else 0,
    )
    return estimate_of(task.use_case, [stage], emulated=emulated)


def generate_load(task: LoadTask, settings: GoogleCloudSettings) -> list[Sample]:
    """Send the load, in a process of its own; a sample for each request.

    Raises:
        LoadTestError: the load generator is not installed, or failed.
    """
    if importlib.util.find_spec("locust") is None:
        raise LoadTestError(
            "the load generator is not installed: pip install 'genaiops-dagster[load-test]'"
        )
    config = content_config(task.model, task.prompt.system_instruction)
    plan = {
        "google_cloud": {
            "project": settings.project,
            "location": settings.location,
            "vertex_url": settings.vertex_url,
        },
        "model": task.model.address,
        "config": config.model_dump(mode="json", exclude_none=True),
        "questions": [list(question) for question in task.questions],
        "steps": [step.model_dump(exclude_none=True) for step in task.policy.steps],
        "most_requests": task.policy.expected_requests,
        "most_concurrent": task.policy.most_concurrent,
    }
    seconds = sum(step.seconds for step in task.policy.steps)
    with tempfile.TemporaryDirectory() as folder:
        plan_path, samples_path = Path(folder, "plan.json"), Path(folder, "samples.jsonl")
        plan_path.write_text(json.dumps(plan), encoding="utf-8")
        module = "genaiops_dagster.serving.load_testing.generator"
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, str(plan_path), str(samples_path)],
                capture_output=True,
                text=True,
                timeout=seconds + _DRAIN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LoadTestError(
                f"the answers did not come to an end {_DRAIN_SECONDS:.0f} s after the last request"
            ) from error
        if done.returncode:
            raise LoadTestError(f"the load generator failed: {done.stderr[-2000:]}")
        lines = samples_path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def summarize_step(step: LoadStep, samples: Sequence[Sample]) -> StepResult:
    """Figures of one step.

    Latency counts from the time at which a request was meant to be sent. In an open loop that is
    its arrival, whenever a connection was free: counting from the real time of sending would leave
    out the waiting of just those requests that a slow answer delayed ("coordinated omission").
    """
    import numpy as np

    answered = [sample for sample in samples if sample["error"] is None]
    late = [sample["sent"] - sample["intended"] for sample in samples]
    return StepResult(
        load=step.words,
        users=step.users,
        rate=step.rate,
        requests=len(samples),
        failed=len(samples) - len(answered),
        errors=dict(Counter(s["error"] for s in samples if s["error"] is not None)),
        throughput=_throughput(step, samples, len(answered)),
        latency=_percentiles([s["done"] - s["intended"] for s in answered]),
        first_token=_percentiles([s["first"] - s["intended"] for s in answered if s["first"]]),
        lateness_p95_seconds=float(np.percentile(late, 95)) if late else 0.0,
    )


def _throughput(step: LoadStep, samples: Sequence[Sample], answered: int) -> float:
    """Answered requests a second.

    A closed loop keeps its users busy from its beginning to the last answer. In an open one the
    time between the first answer and the last is what the requests but one took.
    """
    if not samples or not answered:
        return 0.0
    last = max(sample["done"] for sample in samples)
    if step.users is not None:
        return float(answered / (last - min(sample["sent"] for sample in samples)))
    first = min(sample["done"] for sample in samples)
    if last == first:
        return 0.0
    return float((len(samples) - 1) / (last - first) * answered / len(samples))


def _percentiles(seconds: Sequence[float]) -> Percentiles:
    import numpy as np

    if not seconds:
        return Percentiles(p50=None, p95=None, p99=None)
    p50, p95, p99 = (float(value) for value in np.percentile(seconds, [50, 95, 99]))
    return Percentiles(p50=p50, p95=p95, p99=p99)


def build_load_test(
    task: LoadTask,
    samples: Sequence[Sample],
    samples_uri: str,
    prices: PriceList,
    created: str,
    *,
    emulated: bool,
) -> LoadTest:
    """The result of a load test.

    Args:
        task: What was tested.
        samples: Every request.
        samples_uri: Where they are kept.
        prices: What applies.
        created: When it ended, ISO 8601.
        emulated: Whether the emulator answered.
    """
    steps = [
        summarize_step(step, [sample for sample in samples if sample["step"] == number])
        for number, step in enumerate(task.policy.steps)
    ]
    objective = task.policy.objective
    met, reasons, worst = (None, ["there is no objective"], None)
    if objective is not None:
        met, reasons, worst = check_objective(objective, steps)
    return LoadTest(
        fingerprint=task.fingerprint,
        candidate=task.candidate,
        model=task.model.address,
        prompt_digest=task.prompt.digest,
        steps=steps,
        objective=objective.words if objective else "",
        met=met,
        reasons=reasons,
        worst_latency_seconds=worst,
        limit_seconds=objective.at_most_seconds if objective else None,
        samples_uri=samples_uri,
        cost_usd=token_cost(
            task.model.base_model,
            sum(sample["input_tokens"] for sample in samples),
            sum(sample["output_tokens"] for sample in samples),
            tuned=is_tuned(task.model.address),
            requests=len(samples),
            searches=len(samples) if task.is_grounded else 0,
            prices=prices,
        ),
        created=created,
        emulated=emulated,
    )
