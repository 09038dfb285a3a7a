"""The loop is closed: what a user corrects is what the next champion knows."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from google.cloud import bigquery

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.orchestration.assembly import build_definitions, lifecycle_job_name
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.promotion.champion import read_champion
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.serving import Router
from genaiops_dagster.serving.answering.requests import RequestLog
from genaiops_dagster.serving.watching.feedback import Feedback, give_feedback
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import error_text, open_store
from vertex_emulator.testing import RunningEmulator

WORDS = {
    "harbour": ["ship", "crane", "anchor", "tide", "dock", "cargo", "pilot", "buoy", "hull"],
    "orchard": ["apple", "ladder", "blossom", "pruning", "cider", "bees", "graft", "frost", "pear"],
    "foundry": ["furnace", "mould", "slag", "ingot", "alloy", "casting", "smelter", "coke", "iron"],
}
NEW = {"library": ["shelf", "novel", "reader", "index", "atlas", "loan", "page", "archive", "ink"]}
"""What users ask for and no training row was ever about."""


def questions(words: dict[str, list[str]], count: int, seed: int) -> list[tuple[str, str]]:
    """Questions with their answers, no two alike."""
    choice = random.Random(seed)
    found = []
    for number in range(count):
        answer = choice.choice(sorted(words))
        picked = choice.sample(words[answer], 4)
        found.append((f"Note {seed}-{number}: {' '.join(picked)}.", answer))
    return found


def towns() -> UseCase:
    """A use case that is fed by its inbox alone."""
    return UseCase.model_validate(
        {
            "name": f"loop_{uuid.uuid4().hex[:8]}",
            "description": "Which place is a note about?",
            "source": {"inbox": None, "sql": None},
            "columns": {"output": "place"},
            "prompt": {"template": "Which place is this about? {{ note }}"},
            "split": {"training": 0.6, "validation": 0.1, "evaluation": 0.3},
            "candidates": {
                "flash": {
                    "model": "gemini-3.5-flash",
                    "generation": {"max_output_tokens": 256, "thinking_level": "MINIMAL"},
                },
                "tuned": {"model": "tuned", "generation": {"max_output_tokens": 8}},
            },
            "tuning": {"base_model": "gemini-3.5-flash", "epochs": 4},
            "gate": {
                "minimum_rows": 30,
                "rules": [
                    {"rule": "threshold", "metric": "exact_match", "at_least": 0.5},
                    {"rule": "better_than", "metric": "exact_match", "candidate": "flash"},
                    {
                        "rule": "no_worse_than",
                        "metric": "exact_match",
                        "candidate": "champion",
                        "margin": 0.1,
                    },
                ],
            },
            "serving": {"samples": [{"note": "The shelf holds a novel and an atlas."}]},
        }
    )


class Deployment:
    """The definitions of one use case, with its daemon's work done by hand."""

    def __init__(self, use_case: UseCase, instance: dg.DagsterInstance) -> None:
        self.use_case = use_case
        self.instance = instance
        definitions = build_definitions([use_case])
        self._job = definitions.resolve_job_def(lifecycle_job_name(use_case.name))
        self._repository = definitions.get_repository_def()
        self._cursor: str | None = None

    def tick(self) -> int:
        """One tick of the inbox sensor, and the runs that it requests; how many."""
        sensor = self._repository.get_sensor_def(f"{self.use_case.name}_inbox")
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursor,
            repository_def=self._repository,
            resources=build_resources(),
        ) as context:
            found = sensor.evaluate_tick(context)
        self._cursor = found.cursor
        for _ in found.run_requests or []:
            result = self._job.execute_in_process(instance=self.instance, raise_on_error=False)
            assert result.success, error_text(result)
        return len(found.run_requests or [])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def right_answers(router: Router, asked: list[tuple[str, str]]) -> list[tuple[str, str, str, bool]]:
    """Request id, note, answer that would be right, and whether it was given."""
    found = []
    for note, place in asked:
        response = router.generate({"note": note}, user="ann")
        text = (response.answer.text or "").strip()
        found.append((response.request_id, note, place, text == place))
    return found


def champion_of(store: ObjectStore, use_case: UseCase) -> Champion:
    champion = read_champion(store, use_case.name)
    assert champion is not None
    return champion


@pytest.mark.slow
def test_what_users_correct_is_learned_gated_promoted_and_served(
    emulator: RunningEmulator, instance: dg.DagsterInstance
) -> None:
    use_case, store = towns(), open_store(emulator)
    deployment = Deployment(use_case, instance)
    settings = GoogleCloudSettings.from_environment()
    tables = Warehouse(lambda: bigquery.Client(), settings.dataset, SYSTEM_CLOCK)
    rows: list[dict[str, Any]] = [
        {"id": note, "note": note, "place": place} for note, place in questions(WORDS, 240, 1)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    store.write(f"{use_case.inbox}first.jsonl", lines.encode())
    assert deployment.tick() == 1
    first = champion_of(store, use_case)
    assert (first.number, first.candidate) == (1, "tuned")
    assert deployment.tick() == 0

    def router() -> Router:
        return Router(use_case, store, VertexAI(settings), RequestLog(tables))

    with router() as serving:
        answered = right_answers(serving, questions(NEW, 90, 2))
    assert not any(right for *_, right in answered)
    for request, note, place, _ in answered:
        feedback = Feedback(request, rating=0.0, correction=place, variables={"note": note})
        give_feedback(use_case, store, tables, feedback)

    assert deployment.tick() == 1
    second = champion_of(store, use_case)
    assert (second.number, second.candidate) == (2, "tuned")
    assert second.model != first.model
    assert second.report_fingerprint != first.report_fingerprint
    with router() as serving:
        fresh = questions(NEW, 20, 3)  # nobody ever corrected these
        answered = right_answers(serving, [*fresh, *questions(WORDS, 20, 4)])
        assert serving.route("ann").served == second
    assert sum(right for *_, right in answered[:20]) >= 16
    assert sum(right for *_, right in answered[20:]) >= 14
    assert deployment.tick() == 0
