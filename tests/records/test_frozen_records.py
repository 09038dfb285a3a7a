"""Every record in the bucket of release 0.1.0 is read; see `tests/surface/test_frozen.py`."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from genaiops_dagster.budget.ledger import Month
from genaiops_dagster.data.profile import Profile
from genaiops_dagster.promotion.log import parse_log
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.promotion import Champion, Decision, LogEntry
from genaiops_dagster.records.record import Record, from_json, to_json
from genaiops_dagster.tuning.jobs import JobRecord
from tests.surface.frozen import BUCKET
from tests.surface.test_frozen import RECORDS

ADDED_SINCE = {
    Decision: {"configuration", "evidence"},
    LogEntry: {"account", "configuration", "evidence", "write_id"},
    Month: {
        "attempt",
        "input_tokens",
        "model",
        "output_tokens",
        "recorded",
        "recorder",
        "requests",
    },
}
"""Fields that are empty in records of earlier releases."""

OBJECTS = BUCKET / "objects"
KINDS: dict[str, type[Record]] = {
    **{rf"assets/{re.escape(asset)}\.json": kind for asset, kind in RECORDS.items()},
    r"budget/.*": Month,
    r"champion\.json": Champion,
    r"comparisons/.*/comparison\.json": Comparison,
    r"decisions/.*": LogEntry,
    r"profiles/.*": Profile,
    r"reports/.*/summary\.json": EvaluationReport,
    r"tuning/[0-9a-f]+\.json": JobRecord,
}
NAMES = sorted(
    path.relative_to(OBJECTS / "colours").as_posix()
    for path in (OBJECTS / "colours").rglob("*.json")
    if ".claim-" not in path.name
)


def test_every_kind_is_there() -> None:
    assert [kind for kind in KINDS if not any(re.fullmatch(kind, name) for name in NAMES)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_read_and_says_the_same(name: str) -> None:
    content = (OBJECTS / "colours" / name).read_bytes()
    assert b"schema_version" not in content
    [kind] = [kind for pattern, kind in KINDS.items() if re.fullmatch(pattern, name)]
    record = from_json(kind, content, name)
    found, kept = json.loads(to_json(record)), json.loads(content)
    assert found.pop("schema_version") == kind.schema_version
    assert _without(found, ADDED_SINCE.get(kind, set())) == kept


def _without(value: Any, names: set[str]) -> Any:
    """A JSON value without fields that are empty because a release before did not have them."""
    if isinstance(value, list):
        return [_without(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    return {k: _without(v, names) for k, v in value.items() if k not in names or v}


def test_the_log_is_whole() -> None:
    decisions = sorted((OBJECTS / "colours/decisions").iterdir())
    assert len(parse_log((path.name, path.read_bytes()) for path in decisions)) == len(decisions)
