"""`genaiops rejected`: rows that were left out, with their reason and place, without content."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import dagster as dg
import pytest
from google.cloud import storage
from typer.testing import CliRunner, Result

from genaiops_dagster.cli.app import app
from genaiops_dagster.data.assets import build_assets
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.prompts.assets import build_assets as build_prompt_assets
from genaiops_dagster.use_case import EXTRA_FOLDER_VARIABLE, load_use_case
from tests.cli.test_deliver import USE_CASE
from vertex_emulator.testing import RunningEmulator


def rejected(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["rejected", *map(str, arguments)], env={"COLUMNS": "200"})


def test_rejected_rows_can_be_opened(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rejecting.yaml"
    file.write_text(USE_CASE.format(name="rejecting", source="{}"))
    monkeypatch.setenv(EXTRA_FOLDER_VARIABLE, str(tmp_path))
    home = ("--folder", tmp_path / "home")
    before = rejected("rejecting", *home)
    assert before.exit_code == 1
    assert "no rows of rejecting were curated yet" in before.output

    rows = [{"id": n, "question": f"What is {n}?", "answer": f"It is {n}"} for n in range(20)]
    rows[3]["answer"] = ""
    rows[7]["question"] = "Who is jane@mail.gov.uk?"
    bucket = storage.Client().bucket(emulator.variables["GENAIOPS_BUCKET"])
    blob = bucket.blob("rejecting/inbox/rows.jsonl")
    blob.upload_from_string("\n".join(json.dumps(row) for row in rows))
    use_case = load_use_case(file)
    dg.materialize(
        [*build_assets(use_case), *build_prompt_assets(use_case)],
        selection=dg.AssetSelection.assets(["rejecting", "examples"]).upstream(),
        resources=build_resources(),
    )

    table = tmp_path / "rejected.csv"
    result = rejected("rejecting", "--output", table, *home)
    assert result.exit_code == 0, result.output
    assert "jane" not in result.output
    with table.open() as content:
        found = {row["reason"]: row for row in csv.DictReader(content)}
    assert {reason: row["source_row"] for reason, row in found.items()} == {
        "empty_output": "4",
        "personal_data": "8",
    }
    assert found["personal_data"]["detail"] == "1 e-mail address"
    assert found["personal_data"]["source_uri"].endswith("rejecting/inbox/rows.jsonl")
    assert "empty_output" not in rejected("rejecting", "--reason", "personal_data", *home).output
