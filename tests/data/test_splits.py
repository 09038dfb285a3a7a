from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genaiops_dagster.data.scratch import scratch
from genaiops_dagster.data.splits import write_splits
from genaiops_dagster.prompts.rendering import tuning_line, version
from genaiops_dagster.records.data import Example
from genaiops_dagster.use_case import Prompt
from tests.data.conftest import Curate, use_case_of

PLAIN = "It's {{ title }}\n\n  {{ body }} — {{ title }}\n"


def split_lines(examples: Path, template: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    prompt = version(Prompt(template=template, system_instruction='Be "brief".'))
    with scratch() as (_, connection):
        files = write_splits(connection, examples, prompt, folder)
    return {
        name: [json.loads(line) for line in file.path.read_text("utf-8").split("\n") if line]
        for name, file in files.items()
    }


def use_case_with(template: str) -> Any:
    return use_case_of(
        prompt={"template": template},
        columns={"output": "answer", "slices": ["topic"]},
        curation={"near_duplicates": "allow", "personal_data": "allow", "secrets": "allow"},
        split={"training": 0.6, "validation": 0.2, "evaluation": 0.2},
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(TEXT, st.one_of(TEXT, st.none(), st.integers(), st.booleans()), TEXT),
        min_size=1,
        max_size=30,
    ),
    template=st.sampled_from([PLAIN, "{{ title|upper }} {% if body %}{{ body }}{% endif %}"]),
)
def test_lines_are_what_the_renderer_makes(
    curated: Curate, tmp_path: Path, rows: list[tuple[Any, ...]], template: str
) -> None:
    examples, _, result = curated(
        (
            {"id": n, "title": f"{n} {title}", "body": body, "answer": answer, "topic": "t"}
            for n, (title, body, answer) in enumerate(rows)
        ),
        use_case_with(template),
    )
    lines = split_lines(result.examples, template, tmp_path)
    prompt = version(Prompt(template=template, system_instruction='Be "brief".'))

    for side in ("training", "validation"):
        assert lines[side] == [
            tuning_line(prompt, json.loads(example["variables"]), example["output"])
            for example in examples
            if example["side"] == side
        ]
    records = [Example.model_validate(line) for line in lines["evaluation"]]
    assert [(r.id, r.group, r.variables, r.output, r.slices) for r in records] == [
        (e["id"], e["group"], json.loads(e["variables"]), e["output"], json.loads(e["slices"]))
        for e in examples
        if e["side"] == "evaluation"
    ]


def test_files_and_turns_are_rendered(curated: Curate, tmp_path: Path) -> None:
    use_case = use_case_of(
        prompt={"template": "What is this? {{ hint }}", "files": ["image"]},
        columns={"output": "answer"},
    )
    turns = [
        {"role": "user", "parts": [{"text": "Hello"}]},
        {"role": "model", "parts": [{"text": "Hello, what can I do?"}]},
        {"role": "user", "parts": [{"text": "Tell me more."}]},
    ]
    _, rejected, result = curated(
        [
            {"id": "a", "image": "gs://b/cat.png", "hint": "x", "answer": "A cat"},
            {"id": "b", "contents": turns, "answer": "More"},
            {"id": "c", "contents": turns[:2], "answer": "wrong"},
        ],
        use_case,
    )
    assert {row["id"]: row["reason"] for row in rejected} == {"c": "wrong_roles"}
    prompt = version(use_case.prompt)
    with scratch() as (_, connection):
        files = write_splits(connection, result.examples, prompt, tmp_path)
    lines = {
        name: [json.loads(line) for line in file.path.read_text().split("\n") if line]
        for name, file in files.items()
    }
    tuned = {
        line["contents"][-1]["parts"][0]["text"]: line
        for line in lines["training"] + lines["validation"]
    }
    for record in lines["evaluation"]:
        tuned[record["output"]] = tuning_line(prompt, record["variables"], record["output"])
    assert tuned["A cat"]["contents"][0]["parts"] == [
        {"fileData": {"fileUri": "gs://b/cat.png", "mimeType": "image/png"}},
        {"text": "What is this? x"},
    ]
    assert tuned["More"]["contents"][:-1] == turns


RENDERED = "{{ title|upper }} {{ body }}"


@pytest.mark.parametrize(("template", "count"), [(PLAIN, 40_000), (RENDERED, 5_000)])
def test_lines_keep_the_order_of_positions(
    curated: Curate, tmp_path: Path, template: str, count: int
) -> None:
    examples, _, result = curated(
        ({"id": n, "title": f"t{n}", "body": "", "answer": str(n)} for n in range(count)),
        use_case_with(template),
    )
    positions = [e["position"] for e in examples if e["side"] == "training"]
    assert positions == list(range(1, len(positions) + 1))
    lines = split_lines(result.examples, template, tmp_path)
    outputs = [line["contents"][1]["parts"][0]["text"] for line in lines["training"]]
    assert outputs == [e["output"] for e in examples if e["side"] == "training"]


@pytest.mark.parametrize("template", [PLAIN, RENDERED])
def test_a_file_is_what_is_said_of_it(curated: Curate, tmp_path: Path, template: str) -> None:
    """Also beyond the rows that are held at once, and as UTF-8: escapes would cost tokens."""
    examples, _, result = curated(
        ({"id": n, "title": f"Größe {n}", "body": "", "answer": f"é{n}"} for n in range(6_000)),
        use_case_with(template),
    )
    with scratch() as (_, connection):
        files = write_splits(
            connection, result.examples, version(Prompt(template=template)), tmp_path
        )
    for side, file in files.items():
        rows = [example for example in examples if example["side"] == side]
        content = file.path.read_bytes()
        assert file.digest == hashlib.sha256(content).hexdigest()
        assert file.rows == len(rows) == content.count(b"\n")
        assert file.characters == sum(len(row["variables"]) + len(row["output"]) for row in rows)
        assert "é".encode() in content


def test_rendered_lines_are_in_the_order_of_positions_however_the_file_is_read(
    curated: Curate, tmp_path: Path
) -> None:
    """Several threads read it; lines in another order would be another data set to tune on."""
    examples, _, result = curated(
        ({"id": n, "title": f"t{n}", "body": "", "answer": str(n)} for n in range(100)),
        use_case_with(RENDERED),
    )
    turned = tmp_path / "turned.parquet"
    table = pq.read_table(result.examples)
    pq.write_table(table.take([*range(table.num_rows - 1, -1, -1)]), turned)
    lines = split_lines(turned, RENDERED, tmp_path)["training"]
    outputs = [line["contents"][1]["parts"][0]["text"] for line in lines]
    assert outputs == [e["output"] for e in examples if e["side"] == "training"]


@pytest.mark.parametrize("value", [1e22, -1e22, 12345678901234567890, [1, 2], {"a": 1}, True])
def test_a_value_that_is_no_text_is_written_as_the_renderer_writes_it(
    curated: Curate, tmp_path: Path, value: Any
) -> None:
    examples, _, result = curated(
        ({"id": n, "title": f"t{n}", "body": value, "answer": str(n)} for n in range(30)),
        use_case_with(PLAIN),
    )
    prompt = version(Prompt(template=PLAIN, system_instruction='Be "brief".'))
    lines = split_lines(result.examples, PLAIN, tmp_path)
    assert lines["training"] == [
        tuning_line(prompt, json.loads(example["variables"]), example["output"])
        for example in examples
        if example["side"] == "training"
    ]


def test_turns_are_kept_where_the_template_is_plain(curated: Curate, tmp_path: Path) -> None:
    rows = [
        {
            "id": n,
            "title": "t",
            "answer": str(n),
            "contents": [
                {"role": "user", "parts": [{"text": f"Hello {n}"}]},
                {"role": "model", "parts": [{"text": "Hello, what can I do?"}]},
                {"role": "user", "parts": [{"text": "Tell me more."}]},
            ],
        }
        for n in range(30)
    ]
    _, _, result = curated(rows, use_case_with("{{ title }}"))
    lines = split_lines(result.examples, "{{ title }}", tmp_path)["training"]
    turns = {str(row["answer"]): row["contents"] for row in rows}
    assert len(lines) > 1
    for line in lines:
        *asked, answer = line["contents"]
        assert asked == turns[answer["parts"][0]["text"]]
