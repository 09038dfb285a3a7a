"""Whatever is delivered: every row is in exactly one split, or rejected with a reason."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genaiops_dagster.data.formats import read_rows
from genaiops_dagster.data.scratch import scratch
from genaiops_dagster.data.sources import SourceRow
from genaiops_dagster.data.splits import write_splits
from genaiops_dagster.prompts.rendering import version
from tests.data.conftest import Curate, use_case_of

TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "",
        " ",
        "What is this?",
        "what  is THIS?",
        "mail jane@mail.gov.uk",
        "\x00",
        "\ud800",
        "\u2028",
    ]
)
VALUE = TEXT | st.none() | st.integers() | st.floats() | st.booleans() | st.lists(TEXT, max_size=2)
FIELDS = st.dictionaries(
    st.sampled_from(["id", "author", "topic", "question", "answer", "contents", "other/one"]), VALUE
)
TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "model", "system"]),
        "parts": st.lists(st.fixed_dictionaries({"text": TEXT}), max_size=2) | VALUE,
    }
)
TUNING_FORM = st.fixed_dictionaries(
    {"contents": st.lists(TURN | VALUE, max_size=4)},
    optional={"systemInstruction": st.just({"parts": [{"text": "Be brief."}]}) | VALUE},
)
GOOD = st.builds(
    lambda n, m: {"id": n, "question": f"question {m} of them", "answer": f"answer {n}"},
    st.integers(0, 30),
    st.integers(0, 30),
)


def as_line(value: Any) -> bytes:
    return json.dumps(value).encode()


LINE = (
    st.one_of(FIELDS, TUNING_FORM, GOOD).map(as_line)
    | VALUE.map(as_line)
    | st.binary(max_size=30)
    | st.just(b'{"question": "\xff", "answer": "b"}')
    | st.just(b'{"question": "cut')
)
JSONL = st.tuples(st.just("rows.jsonl"), st.lists(LINE, max_size=12).map(b"\n".join))


@st.composite
def csv_files(draw: st.DrawFn) -> tuple[str, bytes]:
    cell = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    header = draw(st.sampled_from([["id", "question", "answer"], ["question", "question"]]))
    rows = draw(st.lists(st.lists(cell, min_size=1, max_size=4), max_size=6))
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return "rows.csv", text.getvalue().encode(encoding) + draw(st.sampled_from([b"", b'"open']))


def rows_of(files: list[tuple[str, bytes]]) -> list[SourceRow]:
    return [
        SourceRow(f"gs://b/{place}-{name}", place, row.number, row.fields, row.error)
        for place, (name, content) in enumerate(files)
        for row in read_rows(name, io.BytesIO(content), "answer", "Be brief.")
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(JSONL | csv_files(), min_size=1, max_size=4), redact=st.booleans())
def test_every_row_is_in_one_split_or_rejected(
    curated: Curate, tmp_path: Path, files: list[tuple[str, bytes]], redact: bool
) -> None:
    policy = "redact" if redact else "reject"
    use_case = use_case_of(curation={"personal_data": policy, "near_duplicates": "keep_together"})
    delivered = rows_of(files)
    examples, rejected, result = curated(delivered, use_case)
    with scratch() as (_, connection):
        sets = write_splits(connection, result.examples, version(use_case.prompt), tmp_path)

    origin = Counter((row.source_uri, row.source_row) for row in delivered)
    found = Counter((row["source_uri"], row["source_row"]) for row in [*examples, *rejected])
    assert found == origin
    assert set(origin.values()) <= {1}
    assert all(row["reason"] for row in rejected)
    assert sum(result.counts.values()) == len(rejected)
    assert len({example["id"] for example in examples}) == len(examples)
    assert {side: file.rows for side, file in sets.items()} == {
        side: sum(example["side"] == side for example in examples) for side in sets
    }
    for file in sets.values():
        lines = file.path.read_bytes().split(b"\n")[:-1]
        assert len([json.loads(line) for line in lines]) == file.rows


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(LINE, max_size=12))
def test_every_line_that_is_not_blank_is_a_row(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    filled = [n for n, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    found = list(read_rows("rows.jsonl", io.BytesIO(content), "answer", ""))
    assert [row.number for row in found] == filled
    assert all((row.fields is None) != (row.error is None) for row in found)
