from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("count", [40_000])
def test_lines_keep_the_order_of_positions(curated: Curate, tmp_path: Path, count: int) -> None:
    examples, _, result = curated(
        ({"id": n, "title": f"t{n}", "body": "", "answer": str(n)} for n in range(count)),
        use_case_with(PLAIN),
    )
    positions = [e["position"] for e in examples if e["side"] == "training"]
    assert positions == list(range(1, len(positions) + 1))
    lines = split_lines(result.examples, PLAIN, tmp_path)
    outputs = [line["contents"][1]["parts"][0]["text"] for line in lines["training"]]
    assert outputs == [e["output"] for e in examples if e["side"] == "training"]
