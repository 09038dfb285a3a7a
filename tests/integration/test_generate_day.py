"""`genaiops generate-day`, as a person runs it: what it asks, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from genaiops_dagster.cli.app import app
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import colours_use_case, open_store
from tests.integration.serving import asked, crown, rows
from vertex_emulator.testing import RunningEmulator

DAY = "2026-11-19"


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


@pytest.fixture
def use_case(folder: Path) -> UseCase:
    """Colours, and a topic that is not spoken of."""
    rules = {"input": {"blocked_topics": {"war": ["tank"]}}}
    made = colours_use_case(serving={"guardrails": rules})
    content = yaml.safe_dump(made.model_dump(mode="json"))
    (folder / f"{made.name}.yaml").write_text(content)
    return made


def prompts(folder: Path, **things: str) -> str:
    """A file of prompts by id; its path."""
    path = folder / "prompts.jsonl"
    lines = [json.dumps({"id": name, "thing": thing}) for name, thing in things.items()]
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def generate_day(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["generate-day", *arguments])


def test_a_file_of_prompts_is_answered_and_paid_once(
    emulator: RunningEmulator, store: ObjectStore, folder: Path, use_case: UseCase
) -> None:
    crown(store, use_case)
    path = prompts(folder, sky="the sky", grass="grass", war="a tank")
    before = asked(emulator)
    first = generate_day(use_case.name, "--day", DAY, "--prompts", path)
    assert first.exit_code == 0, first.output
    assert f"{use_case.name}, {DAY}: 3 prompts" in first.output
    assert "guardrails.input.blocked_topics.war" in first.output
    assert "Paid now: 2 requests, $0.0" in first.output
    assert "emulated, nothing was charged" in first.output
    found = {row.id: row.status for row in rows(store, use_case, DAY)}
    assert found == {"sky": "answered", "grass": "answered", "war": "refused"}

    path = prompts(folder, sky="the sky", grass="grass", war="a tank")
    second = generate_day(use_case.name, "--day", DAY, "--prompts", path)
    assert second.exit_code == 0, second.output
    assert f"{use_case.name}, {DAY}: 3 prompts" in second.output, "the same file is there once"
    assert "Paid now: 0 requests" in second.output
    assert asked(emulator) == before + 2


def test_without_a_champion_nothing_is_asked(
    emulator: RunningEmulator, folder: Path, use_case: UseCase
) -> None:
    before = asked(emulator)
    result = generate_day(use_case.name, "--day", DAY, "--prompts", prompts(folder, sky="the sky"))
    assert result.exit_code == 1
    assert "has no champion yet" in result.output
    assert asked(emulator) == before


def test_what_cannot_be_meant_is_told(folder: Path, use_case: UseCase) -> None:
    unknown = generate_day("nobody")
    assert (unknown.exit_code, "no use case 'nobody'" in unknown.output) == (2, True)
    missing = generate_day(use_case.name, "--prompts", str(folder / "no.jsonl"))
    assert (missing.exit_code, "no.jsonl: No such file" in missing.output) == (2, True)
    day = generate_day(use_case.name, "--day", "yesterday")
    assert (day.exit_code, "yesterday" in day.output) == (2, True)
