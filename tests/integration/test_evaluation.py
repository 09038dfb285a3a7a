"""Evaluating candidates through Google's own clients, served by the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import yaml

from genaiops_dagster.evaluation.asking.cache import CacheMissError
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.prompts.parity import PromptParityError
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.evaluation import ChampionEvaluation, EvaluationReport
from genaiops_dagster.use_case import load_use_cases
from tests.integration.evaluation import (
    MODULES,
    checks_of,
    content_requests,
    faults,
    materialize,
    put_inputs,
    put_tuned_model,
    report_of,
    store,
    use_case_of,
)
from tests.values import text_of
from vertex_emulator.testing import RunningEmulator

__all__ = ["faults", "store"]  # fixtures


def test_every_row_is_answered_scored_and_kept(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = use_case_of()
    put_inputs(store, use_case)

    report = report_of(materialize(use_case, "flash"))

    assert report.states == {"answered": 24, "blocked": 0, "truncated": 0, "failed": 0}
    assert report.emulated
    assert "emulated" in report.model_version
    rows = read_rows(store, report)
    assert [row.id for row in rows] == [f"row-{index:04}" for index in range(24)]
    right = [row.answer == row.reference for row in rows]
    assert report.metrics["exact_match"].mean == pytest.approx(sum(right) / 24)
    assert sum(right) >= 12, "the module's name is in the text"
    assert report.slices["topic"]["csv"]["exact_match"].rows == 3
    assert report.input_tokens > 0
    assert report.cost_usd is not None
    stored = json.loads(store.read(store.name_of(report.summary_uri)) or b"")
    assert stored["fingerprint"] == report.fingerprint


def test_a_second_evaluation_pays_nothing_and_is_identical(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    criteria = {"criteria": "The response names the right module."}
    judge = {"model": "gemini-3.5-flash-lite", "metrics": {"quality": criteria}, "repeats": 2}
    use_case = use_case_of(judge=judge, suites=["safety", "off_task"])
    put_inputs(store, use_case)

    def evaluate_again() -> EvaluationReport:
        return report_of(materialize(use_case, "flash", raise_on_error=False))

    def paid() -> tuple[int, int]:
        requests = emulator.stats()["requests"]["vertex"]
        return requests["generateContent"], requests["evaluateInstances"]

    nothing = content_requests(emulator)
    first = evaluate_again()
    assert content_requests(emulator) > nothing
    paid_before = paid()

    assert evaluate_again() == first
    assert paid() == paid_before

    store_client = store._client.bucket(store.bucket)
    rows = store.read(store.name_of(first.rows_uri))
    store_client.blob(store.name_of(first.summary_uri)).delete()
    again = evaluate_again()
    assert again.model_copy(update={"created": first.created}) == first
    assert store.read(store.name_of(again.rows_uri)) == rows, "byte by byte"
    assert paid() == paid_before, "answers and ratings are kept without the report, too"


def test_every_row_gets_through_refusals_errors_and_hangs(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    use_case = use_case_of(request_seconds=1.0)
    put_inputs(store, use_case, rows=120)
    vertex = {"service": "vertex", "method": "generateContent"}
    faults(
        vertex | {"kind": "quota", "requests_per_minute": 6000, "window_seconds": 0.25},
        vertex | {"kind": "error", "status": 429, "probability": 0.1},
        vertex | {"kind": "error", "status": 503, "probability": 0.1},
        vertex | {"kind": "drop", "probability": 0.05, "when": "before"},
        vertex | {"kind": "truncate", "probability": 0.05, "after_bytes": 50},
        vertex | {"kind": "hang", "probability": 0.02},
    )

    report = report_of(materialize(use_case, "flash"))

    assert report.states["answered"] == 120
    rows = read_rows(store, report)
    assert [row.id for row in rows] == [f"row-{index:04}" for index in range(120)]


def test_blocked_and_broken_answers_keep_their_own_state(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    use_case = use_case_of()
    put_inputs(store, use_case)
    vertex = {"service": "vertex", "method": "generateContent"}
    faults(
        vertex | {"kind": "block", "times": 2},
        vertex | {"kind": "malformed", "form": "no_candidates", "times": 1, "skip": 4},
        vertex | {"kind": "error", "status": 400, "times": 1, "skip": 6},
    )
    result = materialize(use_case, "flash", raise_on_error=False)
    report = report_of(result)

    assert report.states == {"answered": 20, "blocked": 2, "truncated": 0, "failed": 2}
    assert report.metrics["exact_match"].rows == 20
    rows = {row.id: row for row in read_rows(store, report)}
    assert all(row.reason for row in rows.values() if row.state != "answered")
    assert {row.reason for row in rows.values() if row.state == "blocked"} == {
        "HARM_CATEGORY_DANGEROUS_CONTENT"
    }
    checks = checks_of(result)
    assert not checks["complete"].passed
    # The gate says so, too, and its refusal is to be recorded.
    assert not checks["complete"].blocking
    assert not checks["thresholds"].passed

    paid = content_requests(emulator)
    again = report_of(materialize(use_case, "flash", raise_on_error=False))
    assert content_requests(emulator) == paid + 1, "only the row that got no response"
    assert again.states["answered"] == 21


def test_killed_at_half_and_started_again_asks_no_answered_row_again(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None], tmp_path: Path
) -> None:
    use_case = use_case_of(concurrency=8)
    put_inputs(store, use_case, rows=160)
    file = tmp_path / "use_case.json"
    file.write_text(use_case.model_dump_json())
    faults({"kind": "latency", "service": "vertex", "seconds": 0.1})
    paid = content_requests(emulator)
    script = (
        "import sys, pathlib\n"
        "from genaiops_dagster.use_case import UseCase\n"
        "from tests.integration.evaluation import materialize\n"
        "materialize(UseCase.model_validate_json(pathlib.Path(sys.argv[1]).read_text()), 'flash')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(file)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while content_requests(emulator) - paid < 60 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    time.sleep(0.3)
    answered = content_requests(emulator) - paid
    assert 60 <= answered < 160
    faults()

    report = report_of(materialize(use_case, "flash"))

    assert report.states["answered"] == 160
    under_way = content_requests(emulator) - paid - 160
    assert under_way <= 8, "what was answered to the process that died while it read"


def test_a_tuned_model_is_asked_the_suites_beside_its_base_model(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    golden = [
        {"id": "tables", "variables": {"text": "The csv module reads tables."}, "equals": "csv"},
        {"id": "never", "variables": {"text": "The csv module."}, "contains": ["no such word"]},
    ]
    use_case = use_case_of(suites=["safety", "off_task"], golden=golden)
    put_inputs(store, use_case)
    address = "projects/p/locations/l/publishers/google/models/gemini-3.1-pro-preview"
    put_tuned_model(store, use_case, address, version(use_case.prompt).digest)

    result = materialize(use_case, "tuned", raise_on_error=False)

    report = report_of(result)
    assert {case.id: case.passed for case in report.suites["golden"].cases} == {
        "tables": True,
        "never": False,
    }
    safety = report.suites["safety"]
    assert safety.base_model == "gemini-3.5-flash-lite"
    assert safety.base_passed is not None
    assert len(safety.cases) == 18
    checks = checks_of(result)
    assert not checks["golden"].passed
    assert checks["safety"].passed == (not safety.worse_than_base)
    assert not any(checks[name].blocking for name in ("golden", "safety", "off_task"))


def test_a_tuned_model_of_another_prompt_is_not_evaluated(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = use_case_of()
    put_inputs(store, use_case)
    put_tuned_model(store, use_case, "e", "another prompt")
    paid = content_requests(emulator)
    with pytest.raises(PromptParityError, match="tuned_model was made with another prompt"):
        materialize(use_case, "tuned")
    assert content_requests(emulator) == paid


def test_the_champion_is_asked_with_its_own_prompt_once_there_is_one(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = use_case_of()
    put_inputs(store, use_case)
    result = materialize(use_case, "champion")
    key = dg.AssetKey([use_case.name, "evaluation_report", "champion"])
    assert result.asset_value(key) == ChampionEvaluation(number=None, report=None)
    assert all(check.passed for check in result.get_asset_check_evaluations())

    champion = {
        "number": 3,
        "model": "gemini-3.1-pro-preview",
        "base_model": "gemini-3.1-pro-preview",
        "generation": {"max_output_tokens": 16},
        "prompt_digest": "the champion's own",
        "prompt_template": "Name the module:\n{{ text }}\nChoose one of: " + ", ".join(MODULES),
        "system_instruction": "Answer with one word.",
        "use_case": use_case.name,
        "candidate": "pro",
        "registered_model": None,
        "report_fingerprint": "",
        "report_uri": "",
        "decision_uri": "",
        "promoted": "",
        "emulated": True,
    }
    store.write(f"{use_case.name}/champion.json", json.dumps(champion).encode())

    found = materialize(use_case, "champion", raise_on_error=False).asset_value(key)

    assert found.number == 3
    assert found.report.candidate == "champion"
    assert found.report.prompt_digest == "the champion's own"
    assert found.report.model.endswith("gemini-3.1-pro-preview")
    assert found.report.states["answered"] == 24


def test_a_function_of_a_users_own_works_from_the_file_alone(
    emulator: RunningEmulator,
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "house_style.py").write_text(
        "def lower_case(answer, reference):\n    return answer == answer.lower()\n"
    )
    monkeypatch.setenv("GENAIOPS_USE_CASES", str(tmp_path))
    written = use_case_of(metrics=["exact_match", "house_style:lower_case", "macro_f1"])
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump(written.model_dump(mode="json", exclude_unset=True))
    )
    use_case = load_use_cases()[written.name]
    put_inputs(store, use_case)
    report = report_of(materialize(use_case, "flash"))
    assert report.metrics["lower_case"].mean == 1.0
    assert report.metrics["lower_case"].rows == 24
    assert report.classification is not None
    assert report.classification.classes["csv"].rows == 3
    assert report.metrics["macro_f1"].mean is not None


def test_strict_runs_pay_nothing_and_refreshed_ones_everything(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = use_case_of()
    put_inputs(store, use_case)

    def evaluate_as(mode: str) -> dg.ExecuteInProcessResult:
        name = f"{use_case.name}__evaluation_report__flash"
        config = {"ops": {name: {"config": {"cache": mode}}}}
        return materialize(use_case, "flash", run_config=config)

    paid = content_requests(emulator)
    with pytest.raises(CacheMissError, match="24 of 24"):
        evaluate_as("strict")
    assert content_requests(emulator) == paid
    evaluate_as("reuse")
    assert content_requests(emulator) == paid + 24
    evaluate_as("strict")
    assert content_requests(emulator) == paid + 24
    evaluate_as("refresh")
    assert content_requests(emulator) == paid + 48


def test_an_experiment_gets_one_run_for_each_report(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    from google.cloud import aiplatform

    name = f"modules-{uuid4().hex[:8]}"
    use_case = use_case_of(experiment=name)
    put_inputs(store, use_case)
    for _ in range(2):
        report = report_of(materialize(use_case, "flash"))
    frame = aiplatform.get_experiment_df(name)
    assert frame["param.fingerprint"].tolist() == [report.fingerprint]
    assert frame["metric.exact_match"].tolist() == pytest.approx(
        [report.metrics["exact_match"].mean]
    )
    assert frame["param.emulated"].tolist() == ["true"]


def test_a_page_shows_figures_and_ids_and_texts_only_if_asked(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    pages = []
    for show_texts in (False, True):
        use_case = use_case_of(metrics=["exact_match", "accuracy"], show_texts=show_texts)
        put_inputs(store, use_case)
        [event] = materialize(use_case, "flash").get_asset_materialization_events()
        pages.append(event.step_materialization_data.materialization.metadata)
    plain, open_ = pages
    assert plain["dagster/row_count"].value == 24
    assert text_of(plain["chart"]).startswith("![Metrics](data:image/png;base64,iVBOR")
    assert "emulated" in text_of(plain["answered by"])
    assert "csv" in text_of(plain["confusion"])
    assert "expected" not in text_of(plain["worst rows"])
    assert "expected" in text_of(open_["worst rows"])
