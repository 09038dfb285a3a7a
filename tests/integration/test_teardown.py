"""`genaiops teardown`: what a use case has left is listed, and goes when a person says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from google.genai import types
from typer.testing import CliRunner, Result

from genaiops_dagster.cli.app import app
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.champion import gated_champion
from genaiops_dagster.promotion.tables import publish_log
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.teardown.leftovers import KINDS, Leftover, find_leftovers, size
from genaiops_dagster.tuning.jobs import USE_CASE_LABEL
from genaiops_dagster.use_case import UseCase
from tests.integration.promotion_bench import Bench, label, tune
from tests.values import present
from vertex_emulator.testing import RunningEmulator, faults

ANSWERS = f"answers_{'b' * 40}_requests"
PAUSED = [
    {"kind": "job", "method": "tuningJobs.run", "outcome": "pause"},
    {"kind": "job", "method": "batchPredictionJobs.run", "outcome": "pending"},
]


class Used:
    """A use case with a champion, another model, a cache, jobs that run, tables and files."""

    def __init__(self, folder: Path, models: list[TunedModel]) -> None:
        self.bench = bench = Bench(models)
        settings = GoogleCloudSettings.from_environment()
        self.warehouse = Warehouse.connect(settings, SYSTEM_CLOCK)
        content = yaml.safe_dump(bench.use_case.model_dump(mode="json"))
        (folder / f"{bench.name}.yaml").write_text(content)
        for model in models:
            label(bench, model.model)
        bench.promote()
        publish_log(self.warehouse, bench.log)
        layout = Layout(bench.name)
        bench.store.write(f"{bench.name}/inbox/monday.jsonl", b"{}")
        bench.store.write(layout.ledger("2026-12"), b"{}")
        requests = f"{layout.batches}answers/requests.jsonl"
        bench.store.write(requests, b'{"request": {"contents": []}}')
        bench.vertex_ai.at("global").genai.caches.create(
            model=bench.vertex_ai.at("global").model_address("gemini-3.5-flash"),
            config=types.CreateCachedContentConfig(
                contents=["word " * 5000], display_name=f"{bench.name}-{'a' * 40}"
            ),
        )
        self.warehouse.load_json_lines(
            f"{layout.batch_tables}{ANSWERS}", b'{"request": 1}', {"request": "INT64"}
        )
        client = bench.vertex_ai.genai
        client.tunings.tune(
            base_model="gemini-3.5-flash",
            training_dataset=types.TuningDataset(gcs_uri=bench.store.uri(requests)),
            config=types.CreateTuningJobConfig(labels={USE_CASE_LABEL: bench.name}),
        )
        bench.vertex_ai.at("global").genai.batches.create(
            model=bench.vertex_ai.at("global").model_address("gemini-3.5-flash"),
            src=bench.store.uri(requests),
            config=types.CreateBatchJobConfig(dest=bench.store.uri(f"{layout.batches}answers")),
        )

    def left(self, use_case: UseCase | None = None) -> list[Leftover]:
        bench = self.bench
        chosen = use_case or bench.use_case
        return find_leftovers(chosen, bench.store, self.warehouse, bench.vertex_ai)

    def names(self) -> set[tuple[str, str]]:
        return {(one.kind, one.name) for one in self.left()}

    def kinds(self) -> set[str]:
        return {one.kind for one in self.left()}

    def teardown(self, *arguments: str, answer: str = "") -> Result:
        command = ["teardown", self.bench.name, *arguments]
        return CliRunner().invoke(app, command, input=answer, env={"TERM": "dumb"})


@pytest.fixture
def used(folder: Path, emulator: RunningEmulator) -> Iterator[Used]:
    """A use case whose jobs do not end by themselves."""
    models = tune(2)
    with faults(emulator, *PAUSED):
        yield Used(folder, models)


@pytest.fixture
def make(used: Used) -> Callable[[str], UseCase]:
    return lambda name: used.bench.use_case.model_copy(update={"name": name})


def test_everything_is_listed_and_nothing_deleted_without_a_word(used: Used) -> None:
    before = used.left()
    assert {one.kind for one in before} == set(KINDS) - {"endpoint", "pipeline job"}

    listed = used.teardown("--dry-run")
    refused = used.teardown(answer="n\n")

    shown = listed.output.replace("\n", "").replace(" ", "")
    for one in before:
        assert one.name.replace(" ", "")[:40] in shown, one
    assert "Nothing was deleted" in listed.output
    assert "Nothing was deleted" in refused.output
    assert used.names() == {(one.kind, one.name) for one in before}


def test_the_champion_its_log_and_files_of_people_stay(used: Used) -> None:
    champion = used.bench.champion
    result = used.teardown("--yes")

    assert result.exit_code == 0, result.output
    left = used.left()
    assert all(one.keep for one in left), left
    assert used.bench.store.exists(f"{used.bench.name}/inbox/monday.jsonl")
    assert [one.name for one in left if one.kind == "model"] == [
        present(champion.registered_model).partition("@")[0]
    ]
    assert used.kinds() == {"model", "rows", "objects"}
    assert gated_champion(used.bench.store, used.bench.name) == champion
    used.bench.smoke_test(champion)
    history = CliRunner().invoke(app, ["history", used.bench.name])
    assert "The log is whole; champion 1 serves" in history.output.replace("\n", "")


def test_with_its_name_everything_goes(used: Used) -> None:
    result = used.teardown("--everything", used.bench.name, answer="y\n")
    assert result.exit_code == 0, result.output
    assert used.left() == []
    assert "Nothing is left" in used.teardown("--dry-run").output


def test_another_name_is_refused(used: Used) -> None:
    before = used.names()
    result = used.teardown("--everything", "another", "--yes")
    assert result.exit_code == 2
    assert used.names() == before


def test_only_what_is_named_goes(used: Used) -> None:
    before = used.kinds()
    result = used.teardown("--only", "cache", "--only", "batch job", "--yes")
    assert result.exit_code == 0, result.output
    assert used.kinds() == before - {"cache", "batch job"}
    wrong = used.teardown("--only", "house")
    assert wrong.exit_code == 2
    assert "there is no such kind" in wrong.output


@pytest.mark.parametrize("suffix", ["_2", "_batch", "_batch_answers"])
def test_other_use_cases_keep_theirs(
    used: Used, make: Callable[[str], UseCase], suffix: str
) -> None:
    other = make(f"{used.bench.name}{suffix}")
    used.bench.store.write(f"{other.name}/datasets/a", b"x")
    used.warehouse.load_json_lines(
        f"{Layout(other.name).batch_tables}{ANSWERS}", b'{"request": 1}', {"request": "INT64"}
    )
    before = used.left(other)
    assert {one.kind for one in before} == {"objects", "table"}
    used.teardown("--everything", used.bench.name, "--yes")
    assert used.left(other) == before


def test_what_cannot_be_deleted_is_reported_and_the_rest_goes(
    used: Used, emulator: RunningEmulator
) -> None:
    refusal = {"kind": "error", "status": 403, "method": "cachedContents.delete"}
    with faults(emulator, *PAUSED, refusal):
        result = used.teardown("--yes")
    assert result.exit_code == 1
    assert "1 could not be deleted" in result.output
    assert [one.kind for one in used.left() if not one.keep] == ["cache"]


def test_an_endpoint_that_no_model_names_goes(used: Used) -> None:
    """Such as that of a checkpoint, from which a person has undeployed the model."""
    model = next(one for one in used.left() if one.kind == "model" and not one.keep)
    [(endpoint, deployed)] = model.deployments
    endpoints = used.bench.vertex_ai.endpoints
    endpoints.update_endpoint(
        endpoint={"name": endpoint, "labels": {USE_CASE_LABEL: used.bench.name}},
        update_mask={"paths": ["labels"]},
    )
    endpoints.undeploy_model(
        endpoint=endpoint, deployed_model_id=deployed, traffic_split={}
    ).result()
    assert [one.name for one in used.left() if one.kind == "endpoint"] == [endpoint]
    assert used.teardown("--only", "endpoint", "--yes").exit_code == 0
    assert "endpoint" not in used.kinds()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3 * 10**12, "3.0 TB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text
