"""What decides a run of a pipeline, and which templates there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from examples.pipelines.compile import compile_examples
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.pipelines.lifecycle import compile_lifecycle, lifecycle_parameters
from genaiops_dagster.pipelines.recipe import (
    EXAMPLES,
    PipelineRecipe,
    TemplateError,
    load_template,
    require_pullable,
)
from genaiops_dagster.use_case import UseCase, UseCaseError, load_use_case, load_use_cases
from genaiops_dagster.use_case.pipelines import PipelineRun
from tests.integration.lifecycle import colours_use_case

SETTINGS = GoogleCloudSettings(project="a-project", bucket="a-bucket")


def recipe(**changes: Any) -> PipelineRecipe:
    content = {
        "use_case": "colours",
        "name": "hello",
        "template": "hello_world",
        "spec": load_template(PipelineRun(template="hello_world"), "p"),
        "parameters": {"recipient": "World"},
        "root": "gs://bucket/pipelines",
        "caching": True,
        "service_account": None,
    }
    return PipelineRecipe.model_validate(content | changes)


def test_the_fingerprint_is_of_what_decides_the_outputs() -> None:
    same = [recipe(), recipe(caching=False), recipe(service_account="a@b.iam"), recipe(name="x")]
    assert len({one.fingerprint for one in same}) == 1
    other = [recipe(parameters={"recipient": "Moon"}), recipe(root="gs://bucket/else")]
    assert len({one.fingerprint for one in [*other, recipe()]}) == 3


def test_the_id_of_a_job_is_one_that_the_service_takes() -> None:
    names = {"use_case": "u" + "_x" * 31, "name": "n" + "_y" * 31}
    for one in (recipe(), recipe(**names)):
        assert re.fullmatch(r"[a-z][-a-z0-9]{0,127}", one.job_id(12))
    assert recipe().job_id(1) != recipe().job_id(2)


def test_the_shipped_examples_are_compiled_from_their_sources(tmp_path: Path) -> None:
    written = compile_examples(tmp_path)
    assert {path.name for path in written} == {path.name for path in EXAMPLES.glob("*.yaml")}
    for path in written:
        assert path.read_text() == (EXAMPLES / path.name).read_text(), f"compile {path.stem} again"


def test_a_lifecycle_has_a_step_for_each_candidate_and_variant_and_is_deterministic() -> None:
    use_case = colours_use_case(
        tuning={
            "base_model": "gemini-3.5-flash",
            "sweep": {"epochs": [1, 3], "maximum_usd": 5},
        }
    )
    spec = compile_lifecycle(use_case, "image:1")
    assert spec == compile_lifecycle(use_case, "image:1")
    tasks = spec["root"]["dag"]["tasks"]
    names = [task["taskInfo"]["name"] for task in tasks.values()]
    assert sorted(names) == sorted(
        [
            *("prepare-data", "tune", "tune epochs_1", "tune epochs_3"),
            *(f"evaluate {name}" for name in use_case.candidates),
        ]
    )
    images = {one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()}
    assert images == {"image:1"}
    commands = str(spec["deploymentSpec"])
    assert "pip install" not in commands


@pytest.mark.parametrize("name", load_use_cases())
def test_the_use_case_that_steps_get_is_the_same_in_all_that_they_do(name: Any) -> None:
    use_case = load_use_cases()[name]
    parameters = lifecycle_parameters(use_case, "a-bucket", SETTINGS, "digest")
    got = UseCase.model_validate_json(parameters["definition"])
    for section in ("candidates", "tuning", "evaluation", "gate", "prompt", "split", "source"):
        assert getattr(got, section) == getattr(use_case, section)
    assert parameters["place"]["bucket"] == "a-bucket"


def test_a_template_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="there are lifecycle, hello_world, pipeline_arguments"):
        load_template(PipelineRun(template="hello_wold"), "p")
    with pytest.raises(TemplateError, match=r"nowhere\.yaml cannot be read"):
        load_template(PipelineRun(template="nowhere.yaml"), "p")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("a: 1\n")
    with pytest.raises(TemplateError, match="not a compiled pipeline"):
        load_template(PipelineRun(template=str(wrong)), "p")


def test_a_file_with_a_wrong_pipeline_is_refused_with_its_line(tmp_path: Path) -> None:
    source = next(iter(sorted((EXAMPLES.parents[1] / "use_cases").glob("*.yaml"))))
    text = source.read_text() + "\npipelines:\n  hello:\n    template: hello_world\n    cachin: 1\n"
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UseCaseError, match=r"x\.yaml:\d+: pipelines\.hello\.cachin: unknown field"):
        load_use_case(path)
    with pytest.raises(ValueError, match="come from the use case"):
        PipelineRun(template="lifecycle", parameters={"a": 1})


@pytest.mark.parametrize("image", ["genaiops-dagster:latest", "genaiops/genaiops-dagster:1"])
def test_an_image_that_no_cluster_can_pull_is_refused(image: str) -> None:
    with pytest.raises(TemplateError, match=f"pipelines.it.image is {image}, which Vertex AI"):
        require_pullable("it", PipelineRun(template="lifecycle", image=image))
    pushed = "us-central1-docker.pkg.dev/my-project/genaiops/genaiops-dagster:0.1.0"
    require_pullable("it", PipelineRun(template="lifecycle", image=pushed))
