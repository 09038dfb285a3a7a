"""Whatever order responses come in and whichever fail: every score stays with its row."""

from __future__ import annotations

import asyncio
import json
import random
import time
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from google.api_core.exceptions import InvalidArgument, ServiceUnavailable, TooManyRequests
from google.cloud.aiplatform_v1beta1 import types as service_types
from google.genai import types
from google.genai.errors import APIError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genaiops_dagster.evaluation.asking.cache import RecordCache
from genaiops_dagster.evaluation.asking.concurrency import (
    AdaptiveLimit,
    PaidService,
    Patience,
    map_in_order,
)
from genaiops_dagster.evaluation.asking.inference import Model, Responder
from genaiops_dagster.evaluation.judging.judge import JudgePanel
from genaiops_dagster.evaluation.scored_row import score_row
from genaiops_dagster.evaluation.scoring.metrics import row_metrics
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.evaluation import Answer, Judgement, RowResult
from genaiops_dagster.use_case import GenerationConfig
from genaiops_dagster.use_case.evaluation import Judge, JudgedMetric
from tests.integration.evaluation import store
from vertex_emulator.testing import RunningEmulator

__all__ = ["store"]  # fixture

JUDGE = Judge(model="judge", metrics={"quality": JudgedMetric(criteria="c", scale=(0, 1000))})


class Unreliable:
    """Google's two services, answering each row with its own number: late, or not at all.

    Args:
        seed: Of the delays and failures.
        failing: Share of the requests that fail and may be sent again.
        unanswerable: Rows that no model answers.
        unjudgeable: Rows that no judge rates.
    """

    def __init__(
        self, seed: int, failing: float, unanswerable: set[int], unjudgeable: set[int]
    ) -> None:
        self._dice = random.Random(seed)
        self._failing = failing
        self._unanswerable = unanswerable
        self._unjudgeable = unjudgeable
        self.answered: list[str] = []
        self.aio = SimpleNamespace(models=self)

    def as_vertex_ai(self) -> Any:
        """Itself, as what a judge asks for clients and addresses."""
        return SimpleNamespace(
            evaluation=self,
            parent="projects/p/locations/l",
            model_address=lambda model, _: model,
            served_address=lambda address: address,
        )

    def _is_failing(self) -> bool:
        return self._dice.random() < self._failing

    async def generate_content(self, *, contents: Any, **_: Any) -> types.GenerateContentResponse:
        number = contents[0]["parts"][0]["text"].split()[-1]
        await asyncio.sleep(self._dice.random() * 0.01)
        if self._is_failing():
            raise APIError(self._dice.choice([429, 500, 503]), {})
        if int(number) in self._unanswerable:
            raise APIError(400, {})
        self.answered.append(number)
        return types.GenerateContentResponse.model_validate(
            {
                "candidates": [
                    {"content": {"parts": [{"text": f"number {number}"}]}, "finishReason": "STOP"}
                ]
            }
        )

    def evaluate_instances(self, request: Any, **_: Any) -> Any:
        fields = json.loads(request.pointwise_metric_input.instance.json_instance)
        time.sleep(self._dice.random() * 0.01)
        if self._is_failing():
            raise self._dice.choice([TooManyRequests, ServiceUnavailable])("not now")
        score = float(fields["response"].split()[-1])
        if score in self._unjudgeable:
            raise InvalidArgument("never")
        return service_types.EvaluateInstancesResponse(
            pointwise_metric_result=service_types.PointwiseMetricResult(score=score)
        )


async def evaluated(rows: int, services: Unreliable, store: ObjectStore) -> list[RowResult]:
    examples = [
        Example(id=str(n), group=str(n), slices={}, variables={}, output=f"number {n}")
        for n in range(rows)
    ]
    metrics = row_metrics(["exact_match", "rouge_1"])
    folder = f"properties/{uuid4().hex}/"
    patience = Patience(attempts=50, retries_left=1000, pause_seconds=0.002)
    with (
        RecordCache(store, f"{folder}answers/", Answer, SYSTEM_CLOCK) as answers,
        RecordCache(store, f"{folder}judged/", Judgement, SYSTEM_CLOCK) as judged,
    ):
        responder = Responder(
            services,
            Model("model", "model", GenerationConfig()),
            "",
            PaidService(answers, AdaptiveLimit(8), patience),
        )
        panel = JudgePanel(
            JUDGE,
            services.as_vertex_ai(),
            PaidService(judged, AdaptiveLimit(8), patience),
        )

        async def evaluate_row(index: int) -> RowResult:
            contents = [{"role": "user", "parts": [{"text": f"Say number {index}"}]}]
            answer = await responder.respond(contents)
            return await score_row(examples[index], "Say it", answer, metrics, panel)

        return await map_in_order(evaluate_row, rows, 16, lambda *_: None)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    failing=st.sampled_from([0.0, 0.1, 0.3]),
    unanswerable=st.sets(st.integers(0, 39), max_size=8),
    unjudgeable=st.sets(st.integers(0, 39), max_size=8),
)
def test_every_score_stays_with_its_row(
    emulator: RunningEmulator,
    store: ObjectStore,
    rows: int,
    seed: int,
    failing: float,
    unanswerable: set[int],
    unjudgeable: set[int],
) -> None:
    services = Unreliable(seed, failing, unanswerable, unjudgeable)
    found = asyncio.run(evaluated(rows, services, store))
    assert [row.id for row in found] == [str(n) for n in range(rows)]
    for n, row in enumerate(found):
        if n in unanswerable:
            assert (row.state, row.answer, row.scores) == ("failed", None, {})
            continue
        quality = None if n in unjudgeable else float(n)
        assert row.answer == f"number {n}"
        assert row.scores == {"exact_match": 1.0, "rouge_1": 1.0, "quality": quality}
        assert row.errors.keys() == ({"quality"} if n in unjudgeable else set())
    answered = [str(n) for n in range(rows) if n not in unanswerable]
    assert sorted(services.answered, key=int) == answered, "each paid once"
