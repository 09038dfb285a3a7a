"""`genaiops deliver`: files into the inbox, after a look that they fit the use case."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import storage
from typer.testing import CliRunner, Result

from genaiops_dagster.cli.app import app
from genaiops_dagster.data.delivery import DeliveryError, inspect, object_names
from genaiops_dagster.use_case import EXTRA_FOLDER_VARIABLE
from tests.data.conftest import use_case_of
from vertex_emulator.testing import RunningEmulator

USE_CASE = """
name: {name}
description: Questions and answers.
source: {source}
columns: {{output: answer}}
prompt: {{template: "Question: {{{{ question }}}}"}}
candidates: {{tuned: {{model: tuned}}}}
tuning: {{base_model: gemini-3.5-flash}}
gate: {{rules: [{{rule: threshold, metric: exact_match, at_least: 0.5}}]}}
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A use case of its own, whose batches wait for a marker."""
    name = f"delivered_{abs(hash(str(tmp_path))) % 10**8}"
    text = USE_CASE.format(name=name, source="{completion_marker: _SUCCESS}")
    (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setenv(EXTRA_FOLDER_VARIABLE, str(tmp_path))
    return name


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """A CSV file of three rows, of which the second has a cell too many."""
    path = tmp_path / "answers.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["question", "answer"], ["a", "b"], ["c", "d", "e"], ["f", "g"]]
        )
    return path


def deliver(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["deliver", *map(str, arguments)])


def test_files_arrive_and_their_batch_is_complete(
    emulator: RunningEmulator, name: str, answers: Path, tmp_path: Path
) -> None:
    table = tmp_path / "more.parquet"
    pq.write_table(pa.table({"question": ["x"], "answer": ["y"]}), table)
    result = deliver(name, answers, table, "--folder", tmp_path / "home")
    assert result.exit_code == 0, result.output
    bucket = emulator.variables["GENAIOPS_BUCKET"]
    blobs = list(storage.Client().list_blobs(bucket, prefix=f"{name}/inbox/"))
    assert [Path(blob.name).name for blob in blobs] == ["_SUCCESS", "answers.csv", "more.parquet"]
    assert len({Path(blob.name).parent for blob in blobs}) == 1
    assert blobs[1].download_as_bytes() == answers.read_bytes()
    assert "answers.csv: 3 rows to gs://" in result.output
    assert "1 cannot be read, wrong_columns: row 2" in result.output
    assert f"genaiops run {name}" in result.output


def test_nothing_is_uploaded_when_a_file_does_not_fit(
    emulator: RunningEmulator, name: str, answers: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("asked,answer\na,b\n")
    result = deliver(name, answers, other, "--folder", tmp_path / "home")
    assert result.exit_code == 2
    told = " ".join(result.output.split())
    assert "other.csv: no column 'question' (prompt); it has answer, asked." in told
    bucket = emulator.variables["GENAIOPS_BUCKET"]
    assert list(storage.Client().list_blobs(bucket, prefix=f"{name}/")) == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("rows.xlsx", b"", r"one of \.csv, \.jsonl, \.ndjson, \.parquet"),
        ("none.csv", None, "No such file"),
        ("header.csv", b"question,answer\n", r"no row that can be used \(it is empty\)"),
        ("rows.jsonl", b"{cut\n[1]\n", r"no row that can be used \(not_json, not_an_object\)"),
        ("rows.parquet", b"PAR", "is not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / file
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeliveryError, match=message) as error:
        inspect(use_case_of(), path)
    assert str(path) in str(error.value)


def test_rows_in_tuning_form_need_no_columns_of_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    turns = (
        '{"contents": [{"role": "user", "parts": [{"text": "q"}]}, '
        '{"role": "model", "parts": [{"text": "a"}]}]}'
    )
    path.write_text(turns)
    assert inspect(use_case_of(columns={"output": "answer"}), path).rows == 1


def test_a_corrected_file_replaces_the_first_unless_names_sort_by_time() -> None:
    now = dt.datetime(2026, 11, 21, 15, 30, tzinfo=dt.UTC)
    files = [Path("x/a.csv"), Path("b.csv")]
    assert object_names(use_case_of(), files, now) == [
        "questions/inbox/a.csv",
        "questions/inbox/b.csv",
    ]
    sorted_by_time = use_case_of(source={"names_sort_by_time": True})
    assert object_names(sorted_by_time, files, now) == [
        "questions/inbox/2026-11-21T153000.000000Z/a.csv",
        "questions/inbox/2026-11-21T153000.000000Z/b.csv",
    ]
    with pytest.raises(DeliveryError, match=r"2 files are called 'a\.csv'"):
        object_names(use_case_of(), [Path("a.csv"), Path("x/a.csv")], now)
