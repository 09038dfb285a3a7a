"""Judges, their faults, and what these do to reports, served by the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.use_case import UseCase
from tests.integration.evaluation import (
    checks_of,
    faults,
    materialize,
    materialize_asset,
    put_inputs,
    report_of,
    store,
    use_case_of,
)
from tests.values import present
from vertex_emulator.testing import RunningEmulator

__all__ = ["faults", "store"]  # fixtures


JUDGE = {
    "model": "gemini-3.5-flash-lite",
    "metrics": {"quality": {"criteria": "The response names the right module."}},
}


def test_judge_scores_each_row_and_says_that_it_is_emulated(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = use_case_of(judge=JUDGE)
    put_inputs(store, use_case)
    report = report_of(materialize(use_case, "flash"))
    quality = report.metrics["quality"]
    assert (quality.rows, quality.errors) == (24, 0)
    for row in read_rows(store, report):
        assert row.scores["quality"] == (5 if row.answer == row.reference else 1)
        assert "Emulated judge" in row.explanations["quality"]


def test_judge_errors_are_errors_and_too_many_fail_the_check(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    clean = use_case_of(judge=JUDGE)
    put_inputs(store, clean)
    before = report_of(materialize(clean, "flash"))
    faults({"kind": "judge", "error_probability": 0.3})
    use_case = use_case_of(judge=JUDGE)
    put_inputs(store, use_case)

    result = materialize(use_case, "flash", raise_on_error=False)

    report = report_of(result)
    quality = report.metrics["quality"]
    assert quality.errors > 0
    assert quality.rows == 24 - quality.errors
    unrated = [row for row in read_rows(store, report) if "quality" in row.errors]
    assert len(unrated) == quality.errors
    assert all(row.scores["quality"] is None for row in unrated)
    rated = {row.id for row in read_rows(store, report)} - {row.id for row in unrated}
    same = [present(r.scores["quality"]) for r in read_rows(store, before) if r.id in rated]
    assert quality.mean == pytest.approx(sum(same) / len(same)), "no error became a zero"
    checks = checks_of(result)
    assert not checks["judge_errors"].passed
    # The gate says so, too, and its refusal is to be recorded.
    assert not checks["judge_errors"].blocking


def test_the_service_computes_the_same_figures(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    metrics = ["exact_match", "bleu", "rouge_1", "rouge_2", "rouge_l", "rouge_l_sum", "accuracy"]
    here = use_case_of(metrics=metrics)
    there = use_case_of(metrics=metrics, computed_by="service")
    for use_case in (here, there):
        put_inputs(store, use_case, rows=120)
    local = report_of(materialize(here, "flash"))
    before = emulator.stats()["requests"]["vertex"].get("evaluateInstances", 0)
    served = report_of(materialize(there, "flash"))
    requests = emulator.stats()["requests"]["vertex"]["evaluateInstances"] - before
    assert 6 <= requests <= 12, "many rows a request"
    for row, other in zip(read_rows(store, local), read_rows(store, served), strict=True):
        assert row.scores == pytest.approx(other.scores, abs=1e-6)


def test_repeated_judging_shows_the_judges_noise(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    reports = []
    for noise in (0.0, 1.0):
        faults({"kind": "judge", "noise": noise})
        use_case = use_case_of(judge=JUDGE | {"repeats": 3})
        put_inputs(store, use_case)
        reports.append(report_of(materialize(use_case, "flash", raise_on_error=False)))
    steady, shaky = (report.judging["quality"] for report in reports)
    assert steady.ratings == shaky.ratings == 72
    assert present(shaky.self_agreement) < present(steady.self_agreement)
    assert present(shaky.spread) > 0.2 > present(steady.spread)


PAIRWISE = JUDGE | {"pairwise": {"criteria": "It names the module.", "baseline": "lite"}}
CANDIDATES = {
    "flash": {
        "model": "gemini-3.1-pro-preview",
        "generation": {"max_output_tokens": 16, "thinking_level": "LOW"},
    },
    "lite": {"model": "gemini-3.1-flash-lite", "generation": {"max_output_tokens": 16}},
}


def materialize_preference(use_case: UseCase) -> dg.ExecuteInProcessResult:
    for candidate in ("flash", "lite"):
        materialize(use_case, candidate, raise_on_error=False)
    return materialize_asset(use_case, "preference_report")


def test_a_biased_judge_is_reported_and_moves_no_preference(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    found = []
    for bias in (0.0, 0.6):
        faults({"kind": "judge", "position_bias": bias})
        use_case = use_case_of(judge=PAIRWISE, candidates=CANDIDATES)
        put_inputs(store, use_case, rows=80)
        result = materialize_preference(use_case)
        found.append(result.asset_value([use_case.name, "preference_report"]))
        assert checks_of(result)["position_bias"].passed == (bias == 0)
    fair, biased = found
    assert fair.position_bias.mean == 0
    assert fair.consistency == 1
    assert biased.position_bias.mean == pytest.approx(0.6, abs=0.15)
    assert biased.consistency < 1
    assert (fair.preference.mean - 0.5) * (biased.preference.mean - 0.5) >= 0
    assert fair.wins + fair.losses + fair.ties == fair.pairs == 80


def test_no_preference_is_paid_for_on_an_incomplete_report(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    use_case = use_case_of(judge=PAIRWISE, candidates=CANDIDATES)
    put_inputs(store, use_case)
    faults({"kind": "block", "service": "vertex", "method": "generateContent", "times": 2})
    for candidate in ("flash", "lite"):
        materialize(use_case, candidate)
    paid = emulator.stats()["requests"]["vertex"].get("evaluateInstances", 0)

    result = materialize_asset(use_case, "preference_report")

    assert result.success
    assert result.get_asset_materialization_events() == []
    assert emulator.stats()["requests"]["vertex"].get("evaluateInstances", 0) == paid


def test_a_pairwise_template_of_the_sdk_needs_no_words_of_ones_own(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    pairwise = {"template": "pairwise_question_answering_quality", "baseline": "lite"}
    use_case = use_case_of(judge=JUDGE | {"pairwise": pairwise}, candidates=CANDIDATES)
    put_inputs(store, use_case)
    result = materialize_preference(use_case)
    found = result.asset_value([use_case.name, "preference_report"])
    assert (found.pairs, found.preference.errors) == (24, 0)
    assert found.wins + found.losses + found.ties == 24


def test_a_preference_is_paid_once(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = use_case_of(judge=PAIRWISE, candidates=CANDIDATES)
    put_inputs(store, use_case)
    first = materialize_preference(use_case).asset_value([use_case.name, "preference_report"])
    paid = emulator.stats()["requests"]["vertex"]["evaluateInstances"]
    again = materialize_preference(use_case).asset_value([use_case.name, "preference_report"])
    assert again.model_copy(update={"created": first.created}) == first
    assert emulator.stats()["requests"]["vertex"]["evaluateInstances"] == paid


def test_a_judge_that_disagrees_with_people_blocks(
    emulator: RunningEmulator,
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge: dict[str, Any] = JUDGE | {"calibration": {"labels": f"labels/{uuid4().hex}.jsonl"}}
    use_case = use_case_of(judge=judge)

    def calibrate_with(ratings: list[int]) -> tuple[Any, Any]:
        lines = [
            {
                "metric": "quality",
                "rating": rating,
                "prompt": "Which module?",
                "reference": "csv",
                "response": "csv" if n % 2 else "json",
            }
            for n, rating in enumerate(ratings)
        ]
        content = "\n".join(json.dumps(line) for line in lines).encode()
        store.write(judge["calibration"]["labels"], content)
        result = materialize_asset(use_case, "judge_calibration", raise_on_error=False)
        return result.asset_value([use_case.name, "judge_calibration"]), checks_of(result)

    found, checks = calibrate_with([1, 5] * 10)
    assert found.metrics["quality"].kappa == pytest.approx(1)
    assert checks["agreement"].passed
    labels = store.read(judge["calibration"]["labels"]) or b""
    found, checks = calibrate_with([5, 1] * 10)
    assert found.metrics["quality"].kappa < 0
    assert not checks["agreement"].passed
    assert checks["agreement"].blocking

    file = tmp_path / judge["calibration"]["labels"]
    file.parent.mkdir()
    file.write_bytes(labels)
    monkeypatch.setenv("GENAIOPS_USE_CASES", str(tmp_path))
    result = materialize_asset(use_case, "judge_calibration")
    assert checks_of(result)["agreement"].passed, "a file next to the use cases goes first"
