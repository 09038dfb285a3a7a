"""Checks look at finished data: each fails on data that curation would never have made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genaiops_dagster.data import checks
from genaiops_dagster.data.curation import prepare
from genaiops_dagster.data.scratch import scratch
from genaiops_dagster.data.sources import SourceRow, write_source_rows
from genaiops_dagster.data.splits import SplitFile, write_splits
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.data import DatasetSplit, SplitName, StoredRows
from tests.data.conftest import use_case_of

USE_CASE = use_case_of()
PASSAGE = "the quick brown fox jumps over the lazy dog while seven old wizards watch from the hill"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with scratch() as (_, connection):
        prepare(connection, USE_CASE)
        yield connection


def example(id_: int, side: str = "training", **fields: Any) -> dict[str, Any]:
    return {
        "id": str(id_),
        "group": f"g{id_}",
        "slices": "{}",
        "variables": json.dumps({"question": f"question {id_}"}),
        "output": f"answer {id_}",
        "side": side,
        "position": id_,
    } | fields


def stored(tmp_path: Path, *examples: dict[str, Any]) -> Path:
    path = tmp_path / "examples.parquet"
    pq.write_table(pa.Table.from_pylist(list(examples)), path)
    return path


def asked(question: str) -> str:
    return json.dumps({"question": question})


def test_clean_examples_pass(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = stored(tmp_path, example(1), example(2, "validation"), example(3, "evaluation"))
    checks.key_examples(connection, path)
    assert checks.no_duplicates(connection, path).passed
    assert checks.no_leakage(connection, path, None).passed
    assert checks.no_sensitive_data(connection, path, USE_CASE.curation).passed


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (example(1, output="other", variables=asked("other")), "repeated id"),
        (
            example(2, variables=asked("Question  1"), output="ANSWER 1"),
            "repeated input and output",
        ),
    ],
)
def test_duplicates_are_named(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, second: dict[str, Any], reason: str
) -> None:
    path = stored(tmp_path, example(1), second)
    checks.key_examples(connection, path)
    finding = checks.no_duplicates(connection, path)
    assert not finding.passed
    assert [row["reason"] for row in finding.rows] == [reason]


@pytest.mark.parametrize(
    ("held_out", "reason", "named"),
    [
        ({"group": "g1"}, "group on two sides", {"1", "2"}),
        ({"variables": asked("QUESTION 1")}, "input on two sides", {"1", "2"}),
        (
            {"variables": asked(f"Listen: {PASSAGE}!")},
            "repeats 13 words of a held-out input",
            {"3"},
        ),
    ],
)
def test_leaks_are_named(
    connection: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    held_out: dict[str, Any],
    reason: str,
    named: set[str],
) -> None:
    path = stored(
        tmp_path,
        example(1),
        example(2, "evaluation", **held_out),
        example(3, variables=asked(f"{PASSAGE} again")),
    )
    checks.key_examples(connection, path)
    finding = checks.no_leakage(connection, path, None)
    assert not finding.passed
    assert {row["id"] for row in finding.rows if row["reason"] == reason} == named


def test_a_golden_case_in_training_is_a_leak(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    golden = tmp_path / "golden.parquet"
    write_source_rows([SourceRow("golden", None, 1, asked(PASSAGE), None)], golden)
    path = stored(tmp_path, example(1, variables=asked(PASSAGE)), example(2))
    checks.key_examples(connection, path)
    finding = checks.no_leakage(connection, path, golden)
    assert [row["id"] for row in finding.rows] == ["1"]


def test_sensitive_examples_are_named_without_their_content(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = stored(tmp_path, example(1, output="jane@mail.gov.uk"), example(2))
    finding = checks.no_sensitive_data(connection, path, USE_CASE.curation)
    assert not finding.passed
    assert finding.rows == [{"id": "1", "found": "1 e-mail address"}]
    allowed = use_case_of(curation={"personal_data": "allow"}).curation
    assert checks.no_sensitive_data(connection, path, allowed).passed


def test_a_column_that_no_row_has_is_named() -> None:
    rows = StoredRows(uri="", digest="", rows=1, columns={"topic": "VARCHAR", "author": "VARCHAR"})
    finding = checks.schema(rows, USE_CASE)
    assert not finding.passed
    assert {row["column"]: row["named in"] for row in finding.rows} == {
        "question": "prompt",
        "answer": "columns.output",
    }


def test_turns_need_no_variables() -> None:
    columns = dict.fromkeys(["contents", "answer", "topic", "author"], "VARCHAR")
    rows = StoredRows(uri="", digest="", rows=1, columns=columns)
    assert checks.schema(rows, USE_CASE).passed


@pytest.mark.parametrize(("unusable", "passed"), [(1, True), (4, False)])
def test_too_many_unusable_rows_fail(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, unusable: int, passed: bool
) -> None:
    rows = StoredRows(
        uri="", digest="", rows=7, columns={}, rejected={"secret": unusable, "duplicate": 5}
    )
    path = tmp_path / "rejected.parquet"
    pq.write_table(
        pa.Table.from_pylist(
            [
                {"id": "9", "reason": "secret", "detail": "x", "source_uri": "u", "source_row": 1},
                {
                    "id": "8",
                    "reason": "duplicate",
                    "detail": "",
                    "source_uri": "u",
                    "source_row": 2,
                },
            ]
        ),
        path,
    )
    finding = checks.few_rejected(connection, rows, path, 0.2)
    assert finding.passed is passed
    assert [row["id"] for row in finding.rows] == ["9"]


def sets_of(**rows: int) -> dict[SplitName, DatasetSplit]:
    names: tuple[SplitName, ...] = ("training", "validation", "evaluation")
    return {
        name: DatasetSplit(
            name=name,
            uri="",
            digest="",
            dataset_digest="",
            prompt_digest="",
            rows=rows[name],
            characters=0,
        )
        for name in names
    }


def test_too_few_examples_to_tune_or_to_decide_fail() -> None:
    few = sets_of(training=15, validation=0, evaluation=4)
    finding = checks.enough_examples(few, USE_CASE)
    assert [(row["set"], row["minimum"]) for row in finding.rows] == [
        ("training", 16),
        ("evaluation", 5),
    ]
    assert checks.enough_examples(sets_of(training=16, validation=0, evaluation=5), USE_CASE).passed


def test_an_example_over_the_token_limit_is_named(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = stored(tmp_path, example(1, output="x" * 200_000), example(2, output="y" * 150_000))
    file = SplitFile(path, "", 2, 0)
    finding = checks.within_limits(
        connection,
        path,
        {"training": file, "validation": file, "evaluation": file},
        0,
        lambda _, output: 140_000 if output.startswith("x") else 100_000,
    )
    assert not finding.passed
    assert [row["id"] for row in finding.rows] == ["1"]


def test_a_validation_set_over_the_limit_fails(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = stored(tmp_path, example(1))
    files: dict[SplitName, SplitFile] = {
        "training": SplitFile(path, "", 100, 0),
        "validation": SplitFile(path, "", 5_001, 0),
    }
    finding = checks.within_limits(connection, path, files, 0, lambda *_: 1)
    assert finding.rows == [{"limit of": "validation rows", "found": 5_001, "limit": 5_000}]


def test_a_set_made_with_another_prompt_fails(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = stored(tmp_path, example(1), example(2))
    prompt = version(USE_CASE.prompt)
    made = write_splits(connection, path, prompt, tmp_path)["training"].path
    assert checks.prompt_parity(connection, path, made, prompt, USE_CASE).passed
    other = use_case_of(prompt={"template": "{{ question }}"})
    finding = checks.prompt_parity(connection, path, made, prompt, other)
    assert not finding.passed
    assert [row["line"] for row in finding.rows] == [1, 2]
