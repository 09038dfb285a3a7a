from __future__ import annotations

import json
from pathlib import Path

from genaiops_dagster.data.sources import SourceRow, write_source_rows
from tests.data.conftest import Curate, use_case_of


def row(id_: int, **fields: object) -> dict[str, object]:
    return {
        "id": str(id_),
        "author": f"a{id_}",
        "topic": "t",
        "question": f"question number {id_}",
        "answer": f"answer {id_}",
    } | fields


def test_good_rows_become_examples_with_their_origin(curated: Curate) -> None:
    examples, rejected, result = curated([row(n) for n in range(20)])

    assert len(examples) == 20
    assert rejected == []
    assert sum(result.sides.values()) == 20
    first = next(example for example in examples if example["id"] == "3")
    assert first["group"] == "a3"
    assert json.loads(first["slices"]) == {"topic": "t"}
    assert first["output"] == "answer 3"
    assert "answer" not in json.loads(first["variables"])
    assert first["source_uri"] == "bigquery:test"


def test_each_kind_of_bad_row_has_its_reason(curated: Curate) -> None:
    rows = [
        row(1),
        row(2, question="  "),
        row(3, answer=None),
        row(4, question="Question  number 1", answer="ANSWER 1"),
        row(5, question="which one?", answer="this"),
        row(6, question="which one?", answer="that"),
    ]
    examples, rejected, result = curated(rows)

    assert [example["id"] for example in examples] == ["1"]
    assert {r["id"]: r["reason"] for r in rejected} == {
        "2": "empty_input",
        "3": "empty_output",
        "4": "duplicate",
        "5": "conflicting_outputs",
        "6": "conflicting_outputs",
    }
    assert result.counts["conflicting_outputs"] == 2


def test_groups_stay_together_and_keep_their_side_when_data_grows(curated: Curate) -> None:
    def sides(count: int) -> dict[str, str]:
        examples, _, _ = curated(row(n, author=f"a{n % 300}") for n in range(count))
        return {example["id"]: example["side"] for example in examples}

    before, after = sides(1000), sides(1100)
    assert {id_: after[id_] for id_ in before} == before
    for author in range(300):
        assert len({side for id_, side in after.items() if int(id_) % 300 == author}) == 1


def test_fractions_are_met(curated: Curate) -> None:
    split = {"training": 0.6, "validation": 0.1, "evaluation": 0.3, "seed": 3}
    _, _, result = curated((row(n) for n in range(4000)), use_case_of(split=split))

    assert result.counts == {"over_evaluation_limit": 4000 - sum(result.sides.values())}
    assert 2280 < result.sides["training"] < 2520
    assert 330 < result.sides["validation"] < 470
    assert result.sides["evaluation"] == 1000


LONG = "How can I read a very large file of comma separated values line by line in Python"


def reasons(rejected: list[dict[str, object]]) -> dict[object, object]:
    return {row["id"]: row["reason"] for row in rejected}


def test_of_near_duplicates_the_first_stays(curated: Curate) -> None:
    rows = [
        row(1, question=f"{LONG} without running out of memory?"),
        row(2, question=f"{LONG}, without running out of memory"),
        row(3, question="Something else"),
    ]
    examples, rejected, _ = curated(rows)
    assert sorted(example["id"] for example in examples) == ["1", "3"]
    assert reasons(rejected) == {"2": "near_duplicate"}
    assert rejected[0]["detail"] == "of 1"


def test_near_duplicates_may_stay_on_one_side(curated: Curate) -> None:
    rows = [row(n, question=f"{LONG} item{n}") for n in range(60)]
    use_case = use_case_of(curation={"near_duplicates": "keep_together"})
    examples, rejected, _ = curated(rows, use_case)
    assert len({example["side"] for example in examples}) == 1
    assert len(examples) > 10
    assert set(reasons(rejected).values()) == {"near_duplicate"}


def test_a_newer_delivery_replaces_a_row(curated: Curate) -> None:
    def delivered(generation: int, answer: str) -> SourceRow:
        fields = json.dumps(row(1, answer=answer))
        return SourceRow("gs://b/x.jsonl", generation, 1, fields, None)

    examples, rejected, _ = curated([delivered(1, "old"), delivered(2, "new")])
    assert [example["output"] for example in examples] == ["new"]
    assert reasons(rejected) == {"1": "repeated_id"}
    assert rejected[0]["source_generation"] == 1


def test_personal_data_and_secrets_are_rejected_without_being_told(curated: Curate) -> None:
    rows = [
        row(1, question="My number is +44 20 7946 0018."),
        row(2, answer="Use gh" + "p_" + "a" * 36),
        row(3, topic="jane@mail.gov.uk"),
    ]
    examples, rejected, _ = curated(rows)
    assert reasons(rejected) == {"1": "personal_data", "2": "secret"}
    assert {r["detail"] for r in rejected} == {"1 phone number", "1 GitHub Token"}
    assert [example["id"] for example in examples] == ["3"]  # not told to the model


def test_personal_data_can_be_redacted(curated: Curate) -> None:
    use_case = use_case_of(curation={"personal_data": "redact"})
    examples, _, result = curated([row(1, question="Ask jane@mail.gov.uk why")], use_case)
    assert json.loads(examples[0]["variables"])["question"] == "Ask [E-MAIL ADDRESS] why"
    assert result.redacted == 1


def test_rows_alike_after_redaction_are_duplicates(curated: Curate) -> None:
    use_case = use_case_of(curation={"personal_data": "redact"})
    rows = [row(n, question=f"Ask {name}@mail.gov.uk", answer="x") for n, name in enumerate("ab")]
    _, rejected, _ = curated(rows, use_case)
    assert reasons(rejected) == {"1": "duplicate"}


def test_what_is_too_long_is_rejected_by_its_tokens(curated: Curate) -> None:
    rows = [row(1), row(2, question="word " * 40_000)]
    _, rejected, _ = curated(rows)
    assert reasons(rejected) == {"2": "too_long"}
    assert rejected[0]["detail"].endswith(" tokens")


def test_conflicting_outputs_can_be_kept_but_not_on_two_sides(curated: Curate) -> None:
    rows = [row(n, question="Which one?") for n in range(60)]
    use_case = use_case_of(
        curation={"conflicting_outputs": "allow", "near_duplicates": "allow"},
        split={"training": 0.6, "validation": 0.2, "evaluation": 0.2},
    )
    examples, rejected, _ = curated(rows, use_case)
    assert {example["side"] for example in examples} == {"evaluation"}
    assert set(reasons(rejected).values()) == {"contaminated"}


def test_training_does_not_repeat_what_is_held_out(curated: Curate) -> None:
    rows = [row(n, question=f"{n} " * 30 + LONG + f" {n}x" * 30) for n in range(2)]
    for seed in range(200):  # until the two rows with the same passage fall on two sides
        use_case = use_case_of(split={"seed": seed})
        examples, rejected, _ = curated(rows, use_case)
        if rejected:
            break
    assert reasons(rejected) in ({"0": "contaminated"}, {"1": "contaminated"})
    assert examples[0]["side"] in ("evaluation", "validation")


def test_golden_cases_are_not_trained_on(curated: Curate, tmp_path: Path) -> None:
    golden = tmp_path / "golden.parquet"
    case = SourceRow("golden", None, 1, json.dumps({"question": f"{LONG}?"}), None)
    write_source_rows([case], golden)
    rows = [row(0, question=f"0 {LONG} 0"), row(7)]
    use_case = use_case_of(split={"training": 0.98, "validation": 0.01, "evaluation": 0.01})
    _, rejected, _ = curated(rows, use_case, golden)
    assert reasons(rejected) == {"0": "contaminated"}


def test_columns_may_have_names_that_are_no_variables(curated: Curate) -> None:
    use_case = use_case_of(
        columns={
            "id": "No.",
            "output": "The answer/reply",
            "slices": ["~kind"],
            "variables": {"question": "What was asked?"},
        }
    )
    examples, _, _ = curated(
        [{"No.": 7, "What was asked?": "why", "The answer/reply": "so", "~kind": "a"}], use_case
    )
    (example,) = examples
    assert example["id"] == "7"
    assert json.loads(example["variables"]) == {"question": "why"}
    assert json.loads(example["slices"]) == {"~kind": "a"}
    assert example["output"] == "so"


def test_documents_that_fill_a_models_window_fit_into_the_databases_memory(curated: Curate) -> None:
    def document(id_: int) -> str:
        return " ".join(f"{id_}x{n}" for n in range(50_000))

    rows = (row(n, question=document(n), answer="short") for n in range(40))
    examples, rejected, _ = curated(rows, count_tokens=lambda variables, output: 100_000)
    assert len(examples) == 40
    assert rejected == []
