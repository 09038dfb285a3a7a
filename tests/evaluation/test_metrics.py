"""Computed metrics: by hand, by scikit-learn, and by functions of a user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.evaluation.scored_row import compute_scores
from genaiops_dagster.evaluation.scoring.classification import classify, summarize_corpus_metric
from genaiops_dagster.evaluation.scoring.metrics import metrics_digest, row_metrics
from genaiops_dagster.evaluation.scoring.user_functions import UserFunctionError
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.evaluation import RowResult
from genaiops_dagster.use_case.evaluation import COMPUTED_METRICS
from tests.values import present


def example(output: str, **variables: Any) -> Example:
    return Example(id="a", group="a", slices={}, variables=variables, output=output)


def score(metric: str, answer: str, reference: str) -> float | None:
    return row_metrics([metric])[metric](answer, example(reference))


def test_every_metric_of_the_use_case_file_exists() -> None:
    corpus = {"macro_precision", "macro_recall", "macro_f1"}
    assert set(row_metrics(list(COMPUTED_METRICS))) == set(COMPUTED_METRICS) - corpus


@pytest.mark.parametrize(
    ("metric", "answer", "reference", "expected"),
    [
        ("exact_match", " csv\n", "csv", 1),
        ("exact_match", "CSV", "csv", 0),
        ("accuracy", "`CSV`.", "csv", 1),
        ("accuracy", "csv json", "csv", 0),
        ("rouge_1", "the cat sat", "the cat lay", 2 / 3),
        ("rouge_2", "the cat sat", "the cat lay", 1 / 2),
        ("rouge_l", "the sat cat", "the cat sat", 2 / 3),
        ("rouge_l_sum", "a b\nc d", "c d\na b", 1),
        ("bleu", "the cat sat on the mat", "the cat sat on the mat", 1),
        ("json_valid", '{"a": 1}', "", 1),
        ("json_valid", "a: 1", "", 0),
        ("json_match", '{"a": 1, "b": [2, 3]}', '{"a": 1, "b": [2, 4]}', 2 / 3),
        ("json_match", '{"a": 1, "x": 2}', '{"a": 1}', 2 / 3),
        ("json_match", "no json", '{"a": 1}', 0),
    ],
)
def test_by_hand(metric: str, answer: str, reference: str, expected: Any) -> None:
    assert score(metric, answer, reference) == pytest.approx(expected)


def call(name: Any, **arguments: Any) -> Any:
    return json.dumps({"content": "", "tool_calls": [{"name": name, "arguments": arguments}]})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (call("book", seats=2, row="A"), (1, 1, 1, 1)),
        (call("book", seats=3, row="A"), (1, 1, 1, 0.5)),
        (call("book", seats=2), (1, 1, 0.5, 0.5)),
        (call("sell", seats=2, row="A"), (1, 0, 1, 1)),
        ("I would book two seats.", (0, 0, 0, 0)),
    ],
)
def test_tool_calls(answer: Any, expected: Any) -> None:
    metrics = (
        *("tool_call_valid", "tool_name_match"),
        *("tool_parameter_key_match", "tool_parameter_kv_match"),
    )
    found = [score(metric, answer, call("book", seats=2, row="A")) for metric in metrics]
    assert found == list(expected)


def test_a_metric_that_cannot_be_computed_is_an_error_and_not_a_zero() -> None:
    scores, errors = compute_scores("{}", example("no json"), row_metrics(["json_match"]))
    assert scores == {"json_match": None}
    assert "not JSON" in errors["json_match"]


def labelled(*pairs: tuple[str, str]) -> list[RowResult]:
    return [
        RowResult(
            id=str(index),
            group=str(index),
            slices={},
            reference=reference,
            state="answered",
            answer=answer,
        )
        for index, (reference, answer) in enumerate(pairs)
    ]


def test_classes_are_counted_as_scikit_learn_counts_them() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "B."), ("c", "a"), ("c", "nonsense")]
    pairs += [("a", "a")] * 5 + [("c", "c")] * 2
    rows = labelled(*pairs)
    found = classify(rows)
    expected = precision_recall_fscore_support(
        [reference for reference, _ in pairs],
        [answer.strip(".").lower() for _, answer in pairs],
        labels=["a", "b", "c"],
        zero_division=0,
    )
    for index, name in enumerate("abc"):
        quality = found.classes[name]
        assert (quality.precision, quality.recall, quality.f1, quality.rows) == pytest.approx(
            [column[index] for column in expected]
        )
    assert found.confusion["c"] == {"(other)": 1, "a": 1, "c": 2}
    for column, metric in zip(expected, ("precision", "recall", "f1"), strict=False):
        summary = summarize_corpus_metric(rows, f"macro_{metric}")
        assert summary.mean == pytest.approx(column.mean())
        assert present(summary.low) < present(summary.mean) < present(summary.high)


def test_interval_of_macro_f1_covers() -> None:
    import numpy as np

    random = np.random.default_rng(11)
    covered = 0
    truth = 0.7  # three balanced classes, 30 % of each answered as one of the others
    for _ in range(300):
        expected = random.integers(0, 3, 150)
        wrong = random.random(150) < 0.3
        answered = np.where(wrong, (expected + random.integers(1, 3, 150)) % 3, expected)
        rows = labelled(*((f"c{e}", f"c{a}") for e, a in zip(expected, answered, strict=True)))
        found = summarize_corpus_metric(rows, "macro_f1")
        covered += present(found.low) <= truth <= present(found.high)
    assert 0.93 <= covered / 300 <= 0.97


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENAIOPS_USE_CASES", str(tmp_path))
    return tmp_path


def test_a_function_of_ones_own(folder: Path) -> None:
    (folder / "house_style.py").write_text(
        "def polite(answer, reference):\n    return 'please' in answer\n"
        "def short(answer, reference, variables):\n"
        "    return None if not variables else len(answer) <= variables['limit']\n"
    )
    metrics = row_metrics(["house_style:polite", "house_style:short", "exact_match"])
    assert list(metrics) == ["polite", "short", "exact_match"]
    scores, errors = compute_scores("please", example("x", limit=3), metrics)
    assert (scores, errors) == ({"polite": 1.0, "short": 0.0, "exact_match": 0.0}, {})
    scores, errors = compute_scores("please", example("x"), metrics)
    assert scores["short"] is None
    assert errors == {}


def test_a_function_that_fails_or_returns_nonsense_is_an_error_of_its_row(folder: Path) -> None:
    (folder / "broken.py").write_text(
        "def fails(answer, reference):\n    return 1 / len(answer)\n"
        "def nan(answer, reference):\n    return float('nan')\n"
    )
    metrics = row_metrics(["broken:fails", "broken:nan"])
    scores, errors = compute_scores("", example("x"), metrics)
    assert scores == {"fails": None, "nan": None}
    assert "ZeroDivisionError" in errors["fails"]
    assert "finite" in errors["nan"]


def test_a_changed_function_is_another_metric(folder: Path) -> None:
    file = folder / "growing.py"
    file.write_text("def one(answer, reference):\n    return 1\n")
    before = metrics_digest(["growing:one"])
    file.write_text("def one(answer, reference):\n    return 0.5\n")
    assert metrics_digest(["growing:one"]) != before
    assert row_metrics(["growing:one"])["one"]("", example("")) == 0.5


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("nowhere_to_be_found:f", "put nowhere_to_be_found.py into"),
        ("json:nothing", "has no function nothing"),
        ("math:pow_", "has no function pow_"),
        ("os.path:getsize", r"must take \(answer, reference\)"),
    ],
)
def test_a_function_that_is_not_there_says_where_it_should_be(
    folder: Path, metric: str, message: str
) -> None:
    with pytest.raises(UserFunctionError, match=message):
        row_metrics([metric])


def test_a_file_of_a_user_hides_no_module_of_python(folder: Path) -> None:
    (folder / "json.py").write_text("def one(answer, reference):\n    return 1\n")
    row_metrics(["json:one"])
    import json as standard

    assert standard.loads("1") == 1
