"""What was measured is anchored when it is made: replaced evidence is refused, and named."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.evaluation.report import report_digest, write_report
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.promotion.champion import ChampionError, gated_champion
from genaiops_dagster.promotion.promote import decide_and_record
from genaiops_dagster.records.chain import BrokenLogError
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.evaluation import ChampionEvaluation, EvaluationReport, report_subject
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import UnmeasuredError, anchor, measured, measurement_log
from genaiops_dagster.records.record import from_row, to_json
from genaiops_dagster.serving.answering.router import NoChampionError, Router
from tests.comparison.examples import make_report, make_rows
from tests.integration.evaluation import (
    content_requests,
    materialize,
    put_inputs,
    report_of,
    store,
    use_case_of,
)
from tests.integration.promotion_bench import Bench
from vertex_emulator.testing import RunningEmulator

__all__ = ["store"]  # a fixture
pytestmark = pytest.mark.usefixtures("emulator")


def forge(bench: Bench) -> EvaluationReport:
    """Replace the report of `tuned` by a better one: rows, summary and record, all in agreement."""
    report = from_row(EvaluationReport, bench.get("evaluation_report/tuned"))
    rows = make_rows(1.0, seed=3)
    kept = ("model", "fingerprint", "prompt_digest", "rows_uri", "summary_uri", "use_case")
    forged = make_report("tuned", rows, **{name: getattr(report, name) for name in kept})
    assert report_digest(forged, b"") != report_digest(report, b"")
    write_report(bench.store, forged, rows)
    bench.put("evaluation_report/tuned", forged)
    return forged


def test_rows_replaced_together_with_their_figures_are_refused(bench: Bench) -> None:
    forge(bench)
    with pytest.raises(UnmeasuredError, match=r"summary\.json of tuned, or its rows, are not what"):
        bench.compare()
    result = bench.materialize("model_comparison")
    assert not result.success
    [check] = [c for c in result.get_asset_check_evaluations() if not c.passed]
    assert "again; kept answers cost nothing" in str(check.description)


def test_a_comparison_of_forged_reports_is_no_evidence(bench: Bench) -> None:
    forged = forge(bench)
    rows = {"tuned": make_rows(1.0, seed=3), "flash": make_rows(0.3, seed=1)}
    rows["pro"] = make_rows(0.6, seed=2)
    reports = [
        forged,
        *(
            from_row(EvaluationReport, bench.get(f"evaluation_report/{n}"))
            for n in ("flash", "pro")
        ),
    ]
    nobody = ChampionEvaluation(number=None, report=None)
    comparison = compare(bench.use_case, reports, nobody, rows)
    entry = decide_and_record(bench.challenge(), comparison, bench.books)
    assert entry.decision is not None
    assert entry.decision.verdict.outcome == "INSUFFICIENT"
    [rule] = [r for r in entry.decision.verdict.rules if r.rule == "reports as they were measured"]
    assert "are not what was measured" in rule.reason


def test_a_report_that_was_never_measured_is_refused(bench: Bench) -> None:
    for name in bench.store.list(Layout(bench.name).measurements):
        bench.store.delete(name.name)
    with pytest.raises(BrokenLogError, match="the measurement log is broken: entry 3 was written"):
        bench.compare()
    bench.store.delete(Layout(bench.name).measurements_head)
    with pytest.raises(UnmeasuredError, match="were never measured"):
        bench.compare()


def test_rows_replaced_after_the_promotion_change_no_one_who_serves(bench: Bench) -> None:
    """The decision names what was measured then; a later measurement takes nothing from it."""
    champion = bench.promote()
    subject = report_subject(from_row(EvaluationReport, bench.get("evaluation_report/tuned")))
    anchor(bench.store, bench.name, {subject: "0" * 64}, SYSTEM_CLOCK)
    assert gated_champion(bench.store, bench.name) == champion


@pytest.mark.parametrize("evidence", [{}, {"report/of-tuned": "0" * 64}])
def test_a_forged_decision_rests_on_nothing_that_was_measured(
    bench: Bench, evidence: dict[str, str]
) -> None:
    """The whole chain is right: a decision to promote, the promotion, the pointer."""
    champion, entries = bench.promote(), bench.log.read()
    [true] = [entry.decision for entry in entries if entry.decision is not None]
    decision = true.model_copy(update={"id": "f" * 64, "evidence": evidence})
    bench.log.append(bench.log.read(), "decision", decision=decision)
    forged = champion.model_copy(update={"number": 2, "decision_id": "f" * 64})
    bench.log.append(bench.log.read(), "promotion", champion=forged)
    bench.store.write(f"{bench.name}/champion.json", to_json(forged))
    with pytest.raises(ChampionError, match="rests on what was never measured"):
        gated_champion(bench.store, bench.name)
    with Router(bench.use_case, bench.store) as router, pytest.raises(NoChampionError):
        router.route("ann")


def test_a_report_that_an_earlier_release_made_is_made_again_from_kept_answers(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = use_case_of()
    put_inputs(store, use_case)
    report = report_of(materialize(use_case, "flash"))
    subject = report_subject(report)
    assert measured(store, use_case.name)[subject]
    log = measurement_log(store, use_case.name)
    for item in store.list(log.prefix):
        store.delete(item.name)
    store.delete(log.head_name)
    asked = content_requests(emulator)
    again = report_of(materialize(use_case, "flash"))
    assert content_requests(emulator) == asked
    assert again.metrics == report.metrics
    assert measured(store, use_case.name)[subject]


def _segment(store: ObjectStore, use_case: str) -> str:
    [name] = [
        item.name
        for item in store.list(f"{use_case}/responses/")
        if item.name.endswith(".jsonl") and "judged-" not in item.name
    ]
    return name


def _better(content: bytes) -> bytes:
    """Kept answers, each replaced by another one."""
    lines = [json.loads(line) for line in content.splitlines()]
    for line in lines:
        line["record"]["text"] = "csv"
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _in_place(store: ObjectStore, name: str) -> None:
    store.write(name, _better(store.read(name) or b""))


def _under_a_name_of_an_earlier_release(store: ObjectStore, name: str) -> None:
    content = _better(store.read(name) or b"")
    store.delete(name)
    store.write(f"{name.rpartition('-')[0]}-{'0' * 32}.jsonl", content)


def _beside(store: ObjectStore, name: str) -> None:
    folder, _, _ = name.rpartition("/")
    store.write(f"{folder}/9{'0' * 19}-{'0' * 32}.jsonl", _better(store.read(name) or b""))


@pytest.mark.parametrize(
    ("attack", "noticed"),
    [(_in_place, True), (_under_a_name_of_an_earlier_release, False), (_beside, False)],
)
def test_kept_answers_that_were_edited_are_not_believed(
    store: ObjectStore, attack: Callable[[ObjectStore, str], None], noticed: bool
) -> None:
    """They are refused, or the true ones count; answers of anchored segments go before others'."""
    use_case = use_case_of()
    put_inputs(store, use_case)
    report = report_of(materialize(use_case, "flash"))
    name = _segment(store, use_case.name)
    attack(store, name)
    for kept in (report.summary_uri, report.rows_uri):
        store.delete(store.name_of(kept))
    if noticed:
        with pytest.raises(UnmeasuredError, match="is not what was written there; delete it"):
            materialize(use_case, "flash")
        store.delete(name)
    again = report_of(materialize(use_case, "flash"))
    assert again.metrics == report.metrics
