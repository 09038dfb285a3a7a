"""What the pages show as a use case file, a launchpad's config or a plan of faults is one."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.use_case import SHIPPED, UseCase, load_use_cases
from tests.docs.pages import PAGES, blocks_of, name_of
from vertex_emulator.fault_kinds import FaultPlan
from vertex_emulator.iam import Policy

EXAMPLES = [
    pytest.param(yaml.safe_load(block.body), id=f"{name_of(page)} {number}")
    for page in PAGES
    for number, block in enumerate(blocks_of(page))
    if block.language == "yaml" and not block.kind
]
INSTANCES = [
    pytest.param(block.body, id=name_of(page))
    for page in PAGES
    for block in blocks_of(page)
    if (block.language, block.kind) == ("yaml", "instance")
]


def has(document: object, key: str) -> bool:
    return isinstance(document, Container) and key in document


RUN_CONFIGS = [example for example in EXAMPLES if has(example.values[0], "ops")]
FAULTS = [example for example in EXAMPLES if has(example.values[0], "faults")]
POLICIES = [example for example in EXAMPLES if has(example.values[0], "bindings")]
SECTIONS = [e for e in EXAMPLES if e not in [*RUN_CONFIGS, *FAULTS, *POLICIES]]


@pytest.fixture(scope="module")
def jobs() -> list[dg.JobDefinition]:
    definitions = build_definitions([load_use_cases()["python_modules"]])
    return list(definitions.resolve_all_job_defs())


@pytest.mark.parametrize("example", SECTIONS)
def test_a_section_of_a_use_case_file_is_valid(example: dict[str, Any]) -> None:
    UseCase.model_validate(_merged(_default_use_case_with_a_judge(), example))


@pytest.mark.parametrize("example", RUN_CONFIGS)
def test_a_run_config_is_one_of_a_job_that_has_these_ops(
    example: dict[str, Any], jobs: list[dg.JobDefinition], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAIOPS_BUCKET", "my-bucket")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
    fitting = [job for job in jobs if set(example["ops"]) <= {node.name for node in job.nodes}]
    assert fitting
    for job in fitting:
        assert dg.validate_run_config(job, example)


@pytest.mark.parametrize("example", FAULTS)
def test_a_plan_of_faults_is_valid(example: dict[str, Any]) -> None:
    assert FaultPlan.model_validate(example).faults


@pytest.mark.parametrize("example", POLICIES)
def test_a_policy_is_one_that_the_emulator_takes(example: dict[str, Any]) -> None:
    assert Policy.model_validate(example).bindings


@pytest.mark.parametrize("example", INSTANCES)
def test_an_instance_is_one_that_dagster_takes(example: str, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(example)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_coordinator is not None


def test_there_are_examples_of_each_kind() -> None:
    assert len(SECTIONS) > 12
    assert RUN_CONFIGS
    assert FAULTS
    assert POLICIES
    assert INSTANCES


def _default_use_case_with_a_judge() -> dict[str, Any]:
    use_case = yaml.safe_load((SHIPPED / "python_modules.yaml").read_text())
    judge = {"model": "gemini-3.1-pro-preview", "metrics": {"fluency": {"template": "fluency"}}}
    return _merged(use_case, {"evaluation": {"judge": judge}})


def _merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The one with what the other says; sections that both have are merged likewise."""
    result = dict(whole)
    for key, value in part.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
