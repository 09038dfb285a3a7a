"""The jobs of a use case: what each takes along, and what its launchpad shows."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.use_case import UseCase, load_use_cases
from genaiops_dagster.use_case.pipelines import PipelineRun
from tests.values import present


@pytest.fixture(scope="module")
def use_case() -> UseCase:
    chosen = load_use_cases()["python_modules"]
    pipelines = {
        "lifecycle": PipelineRun(template="lifecycle"),
        "hello": PipelineRun(template="hello_world"),
    }
    return chosen.model_copy(update={"pipelines": pipelines})


@pytest.fixture(scope="module")
def definitions(use_case: UseCase) -> dg.Definitions:
    return build_definitions([use_case])


def assets_of(definitions: dg.Definitions, job: str) -> set[str]:
    selected = definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    return {"/".join(key.path[1:]) for key in selected}


def test_every_use_case_has_the_jobs_and_each_says_what_it_does(
    definitions: dg.Definitions, use_case: UseCase
) -> None:
    jobs = {job.name: job for job in definitions.resolve_all_job_defs()}
    wanted = ("refresh_data", "tune_and_evaluate", "compare_models", "promote", "rollback")
    for name in (*wanted, "approve", "lifecycle"):
        assert jobs[f"{use_case.name}_{name}"].description


@pytest.mark.parametrize(
    ("job", "within", "without"),
    [
        ("refresh_data", {"source_rows", "evaluation_set", "cost_estimate"}, {"tuned_model"}),
        (
            "tune_and_evaluate",
            {"tuned_model", "evaluation_report/flash", "vertex_pipeline_run/lifecycle"},
            {"training_set", "model_comparison", "vertex_pipeline_run/hello"},
        ),
        ("compare_models", {"model_comparison"}, {"evaluation_report/flash", "champion"}),
        ("promote", {"promotion_decision", "champion"}, {"model_comparison"}),
        (
            "lifecycle",
            {"source_rows", "vertex_pipeline_run/lifecycle", "champion"},
            {"vertex_pipeline_run/hello"},
        ),
    ],
)
def test_a_job_takes_its_stages_and_no_others(
    definitions: dg.Definitions, use_case: UseCase, job: str, within: Any, without: Any
) -> None:
    found = assets_of(definitions, f"{use_case.name}_{job}")
    assert within <= found
    assert not without & found


def test_the_launchpad_shows_what_may_be_chosen_and_the_job_accepts_it(
    definitions: dg.Definitions, use_case: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
    monkeypatch.setenv("GENAIOPS_BUCKET", "a-bucket")
    job = definitions.resolve_job_def(f"{use_case.name}_tune_and_evaluate")
    shown = present(job.run_config)
    assert shown["ops"]["python_modules__tuned_model"]["config"] == {"retry_failed": False}
    assert shown["ops"]["python_modules__evaluation_report__flash"]["config"] == {"cache": "reuse"}
    assert dg.validate_run_config(job, shown)


def test_what_comes_after_waits_for_the_pipeline(
    definitions: dg.Definitions, use_case: UseCase
) -> None:
    graph = definitions.resolve_asset_graph()
    pipeline = dg.AssetKey([use_case.name, "vertex_pipeline_run", "lifecycle"])
    for name in (["tuned_model"], ["evaluation_report", "flash"]):
        assert pipeline in graph.get(dg.AssetKey([use_case.name, *name])).parent_keys
    plain = build_definitions([load_use_cases()[use_case.name]]).resolve_asset_graph()
    assert not [key for key in plain.get_all_asset_keys() if "vertex_pipeline_run" in key.path]


def test_every_step_that_is_paid_or_waits_is_in_a_pool(
    definitions: dg.Definitions, use_case: UseCase
) -> None:
    pools = {
        key.to_user_string().partition("/")[2]: node.assets_def.op.pool
        for node in definitions.resolve_asset_graph().asset_nodes
        for key in [node.key]
        if node.is_executable
    }
    assert pools["tuned_model"] == "vertex_ai_tuning"
    assert pools["evaluation_report/flash"] == "vertex_ai_content"
    assert pools["vertex_pipeline_run/lifecycle"] == "vertex_pipelines"
