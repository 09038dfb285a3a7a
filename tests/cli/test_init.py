"""`genaiops init`: what is guessed of a person's data, and that the file written is a right one."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from genaiops_dagster.cli.app import app
from genaiops_dagster.cli.scaffold import ScaffoldError, describe, guess_roles, read_sample
from genaiops_dagster.prompts.rendering import request_contents, version
from genaiops_dagster.use_case import load_use_case

QUEUES = ["billing", "shipping", "account"]


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """A CSV file of 300 tickets with three queues, with a column name that no template can use."""
    choose = random.Random(0)
    path = tmp_path / "Support tickets.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ticket_id", "customer", "language", "Subject line", "created_at", "queue"])
        for number in range(300):
            rows.writerow(
                [
                    f"T-{number}",
                    f"customer {choose.randrange(100)}",
                    choose.choice(["en", "de"]),
                    f"Something about parcel {number}",
                    f"2026-11-{1 + number % 28:02}",
                    choose.choice(QUEUES),
                ]
            )
    return path


def init(*arguments: str | Path, answers: str = "") -> str:
    result = CliRunner().invoke(app, ["init", *map(str, arguments)], input=answers)
    assert result.exit_code == 0, result.output
    return result.output


def test_roles_of_columns_are_guessed(tickets: Path) -> None:
    guess = guess_roles(describe(read_sample(tickets)))
    assert guess.output == "queue"
    assert guess.inputs == ["Subject line"]
    assert guess.id == "ticket_id"
    assert guess.group == "customer"
    assert guess.slices == ["language"]
    assert guess.labels == sorted(QUEUES)


def test_what_the_person_says_goes_before_the_guess(tickets: Path) -> None:
    columns = describe(read_sample(tickets))
    guess = guess_roles(columns, output="language", inputs=["queue", "customer"], group="")
    assert (guess.output, guess.inputs, guess.group) == ("language", ["queue", "customer"], None)
    with pytest.raises(ScaffoldError, match=r"no column 'quue'; there are: ticket_id, customer"):
        guess_roles(columns, output="quue")


def test_the_file_is_valid_and_renders(tickets: Path, tmp_path: Path) -> None:
    output = init(tickets, "--yes", "--to", tmp_path / "mine")
    use_case = load_use_case(tmp_path / "mine" / "support_tickets.yaml")
    assert use_case.columns.output == "queue"
    assert use_case.columns.variables == {"subject_line": "Subject line"}
    assert "{{ subject_line }}" in use_case.prompt.template
    assert "account, billing, shipping" in use_case.prompt.template
    assert use_case.evaluation.primary_metric == "exact_match"
    assert "genaiops deliver support_tickets" in output


def test_free_text_gets_metrics_of_free_text(tmp_path: Path) -> None:
    rows = [
        {"article": f"Article {n} says a lot of things.", "summary": f"Says {n}."}
        for n in range(60)
    ]
    path = tmp_path / "articles.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    init(path, "--yes", "--to", tmp_path)
    use_case = load_use_case(tmp_path / "articles.yaml")
    assert use_case.columns.output == "summary"
    assert use_case.evaluation.primary_metric == "rouge_l_sum"


def test_addresses_of_files_are_attached(tmp_path: Path) -> None:
    table = {
        "photo": [f"gs://bucket/{n}.png" for n in range(30)],
        "label": ["cat", "dog", "cow"] * 10,
    }
    pq.write_table(pa.table(table), tmp_path / "photos.parquet")
    init(tmp_path / "photos.parquet", "--yes", "--to", tmp_path)
    use_case = load_use_case(tmp_path / "photos.yaml")
    assert use_case.prompt.files == ["photo"]


def test_columns_and_labels_are_no_code_of_the_template(tmp_path: Path) -> None:
    column, labels = "asked\nsplit: {seed: 1} {{ 7 * 7 }} \x1b[2J", ["{% raw %}", "{{ 7 * 7 }}"]
    path = tmp_path / "rows.jsonl"
    rows = [{column: f"Parcel {n} is late", "queue": labels[n % 2]} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    init(path, "--yes", "--to", tmp_path)
    use_case = load_use_case(tmp_path / "rows.yaml")
    assert use_case.split.seed == 7
    [variable] = use_case.columns.variables
    [turn] = request_contents(version(use_case.prompt), {variable: "Parcel 1 is late"})
    asked = turn["parts"][0]["text"]
    assert "Choose one of: {% raw %}, {{ 7 * 7 }}." in asked
    assert "split: {seed: 1} {{ 7 * 7 }} \\x1b[2j: Parcel 1 is late" in asked


@pytest.mark.parametrize("instruction", [None, 'You sort: "tickets".'])
def test_rows_in_tuning_form_bring_their_own_turns(tmp_path: Path, instruction: str | None) -> None:
    told = {"systemInstruction": {"parts": [{"text": instruction}]}} if instruction else {}
    path = tmp_path / "sft_train_data.jsonl"
    with path.open("w") as file:
        for n in range(60):
            asked = {"role": "user", "parts": [{"text": f"Parcel {n} is late"}]}
            answer = {"role": "model", "parts": [{"text": QUEUES[n % 3]}]}
            file.write(json.dumps({**told, "contents": [asked, answer]}) + "\n")
    init(path, "--yes", "--to", tmp_path)
    use_case = load_use_case(tmp_path / "sft_train_data.yaml")
    assert use_case.prompt.system_instruction == (instruction or "")
    assert use_case.prompt.template == "{{ text }}"
    assert use_case.candidates["flash"].generation.max_output_tokens == 256
    assert use_case.columns.output == "output"
    assert use_case.evaluation.primary_metric == "exact_match"


def test_questions_are_asked_and_their_answers_used(tickets: Path, tmp_path: Path) -> None:
    answers = "language\nqueue, Subject line\n-\nmine\nWhich language is this?\n"
    init(tickets, "--to", tmp_path, answers=answers)
    use_case = load_use_case(tmp_path / "mine.yaml")
    assert use_case.columns.output == "language"
    assert use_case.columns.group is None
    assert use_case.prompt.template.startswith("Which language is this?")
    assert "{{ queue }}" in use_case.prompt.template


def test_a_file_that_exists_is_kept(tickets: Path, tmp_path: Path) -> None:
    init(tickets, "--yes", "--to", tmp_path)
    result = CliRunner().invoke(app, ["init", str(tickets), "--yes", "--to", str(tmp_path)])
    assert result.exit_code == 2
    assert "--force" in result.output
    init(tickets, "--yes", "--to", tmp_path, "--force")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.xlsx", "", "format, one of .csv"),
        ("rows.csv", "", "holds no row"),
        ("rows.csv", "id\n1\n2\n", "only column is the id"),
        ("rows.parquet", "no", "not a Parquet file"),
        (None, "", "cannot be read"),
    ],
)
def test_data_that_cannot_be_used_is_told(
    tmp_path: Path, name: str | None, content: str, expected: str
) -> None:
    path = tmp_path / (name or "missing.csv")
    if name:
        path.write_text(content)
    result = CliRunner().invoke(app, ["init", str(path), "--yes", "--to", str(tmp_path)])
    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())
    assert list(tmp_path.glob("*.yaml*")) == []


def test_the_schema_for_editors_accepts_what_is_written_and_no_unknown_field(
    tickets: Path, tmp_path: Path
) -> None:
    init(tickets, "--yes", "--to", tmp_path)
    schema = json.loads((tmp_path / "use_case.schema.json").read_text())
    content = yaml.safe_load((tmp_path / "support_tickets.yaml").read_text())
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError, match="colums"):
        jsonschema.validate({**content, "colums": {}}, schema)
