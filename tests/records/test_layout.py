"""Names in the bucket and the tables: what earlier releases wrote is found under the same names."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import genaiops_dagster
from genaiops_dagster.records import layout
from genaiops_dagster.records.layout import Layout
from tests.values import present

PLACE = Layout("words")
NAMES = {
    "words/": PLACE.everything,
    "words/assets/evaluation_report/pro.json": PLACE.record("evaluation_report", "pro"),
    "words/assets/tuned_model": PLACE.records("tuned_model"),
    "words/batches/": PLACE.batches,
    "words_batch_": PLACE.batch_tables,
    "words/budget/": PLACE.ledgers,
    "words/budget/2026-11.json": PLACE.ledger("2026-11"),
    "words/champion.json": PLACE.champion,
    "words/comparisons/c/leaderboard.csv": PLACE.comparison("c", "leaderboard.csv"),
    "words/context_caches/f.json": PLACE.context_cache("f"),
    "words/context_caches/f.claim.json": PLACE.context_cache_claim("f"),
    "words/datasets/d/training.jsonl": PLACE.data_set("d", "training"),
    "words/datasets/d/sample-s.jsonl": PLACE.sample("d", "s"),
    "words/datasets/d/choosing-s.jsonl": PLACE.choosing("d", "s"),
    "words/decisions/": PLACE.decisions,
    "words/decisions/00000012.json": PLACE.decision(12),
    "words/examples/e/examples.parquet": PLACE.examples("e"),
    "words/examples/e/rejected-0123456789abcdef.parquet": PLACE.rejected(
        "e", "0123456789abcdef0123"
    ),
    "words/evaluations/answers-n.claim.json": PLACE.batch_claim("answers-n"),
    "words/evaluations/c.claim.json": PLACE.evaluation_claim("c"),
    "words/exports/x/": PLACE.export("x"),
    "words/files/d.png": PLACE.file("d", ".png"),
    "words/generated/2026-11-30/d.parquet": PLACE.generated("2026-11-30", "d"),
    "words/inbox_state/d.json.gz": PLACE.inbox_state("d"),
    "words/log_head.json": PLACE.log_head,
    "words/measurements/": PLACE.measurements,
    "words/measurements/00000003.json": PLACE.measurement(3),
    "words/measurements_head.json": PLACE.measurements_head,
    "words/load_tests/r.jsonl": PLACE.load_test("r"),
    "words/pipelines": PLACE.pipelines,
    "words/profiles/t.json": PLACE.profile("t"),
    "words/prompts": PLACE.prompts,
    "words/reports/f/summary.json": PLACE.report("f"),
    "words/reports/f/rows.parquet": PLACE.report_rows("f"),
    "words/responses/answers/": PLACE.responses("answers"),
    "words/sources/d.parquet": PLACE.source_rows("d"),
    "words/tuning/f.json": PLACE.tuning_job("f"),
    "words/tuning/f.claim-2.json": PLACE.tuning_claim("f", 2),
    "words/tuning/cancelled/123.json": PLACE.cancelled("projects/p/tuningJobs/123"),
    "words/tuning/pending/": PLACE.pending_jobs("tuning"),
    "words/pipelines/pending/f.json": PLACE.pending_job("pipelines", "f"),
    "words/inbox/feedback/r": layout.feedback_folder("words/inbox/", "r"),
}


@pytest.mark.parametrize(("before", "now"), NAMES.items())
def test_names_are_what_they_were(before: str, now: str) -> None:
    assert now == before


def test_every_name_is_looked_at() -> None:
    names = [name for name, _ in inspect.getmembers(Layout) if not name.startswith("_")]
    source = inspect.getsource(present(inspect.getmodule(test_every_name_is_looked_at)))
    assert [name for name in names if f"PLACE.{name}" not in source and name != "use_case"] == []


def test_no_object_is_named_elsewhere() -> None:
    """A use case's folder is put before a name in the layout alone."""
    root = Path(genaiops_dagster.__file__).parent
    named = re.compile(r'f"\{(?:[\w.]+\.)?use_case(?:\.name)?\}/')
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        if "emulator" not in path.parts and path.name != "layout.py"
        for line in path.read_text().splitlines()
        if named.search(line)
    ]
    assert found == []
