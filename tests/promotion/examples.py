"""Champions, decisions and entries of the log made by hand, for tests of promotion."""

from __future__ import annotations

from typing import Any

from genaiops_dagster.records.promotion import (
    Champion,
    Decision,
    EntryKind,
    LogEntry,
    Rollout,
    Verdict,
)
from genaiops_dagster.use_case import GenerationConfig


def make_champion(number: int = 1, **changes: Any) -> Champion:
    return Champion(
        **{
            "number": number,
            "use_case": "modules",
            "candidate": "tuned",
            "model": f"models/champion-{number}",
            "base_model": "gemini-3.5-flash",
            "registered_model": None,
            "generation": GenerationConfig(),
            "prompt_digest": "prompt",
            "prompt_template": "{{ question }}",
            "system_instruction": "",
            "report_fingerprint": "report",
            "report_uri": "gs://bucket/modules/reports/report/summary.json",
            "decision_uri": "gs://bucket/modules/decisions/00000001.json",
            "promoted": "2026-11-20T12:00:00+00:00",
            "emulated": True,
        }
        | changes
    )


def make_decision(name: str = "passed", **changes: Any) -> Decision:
    """A decision to promote what `make_champion` makes of it."""
    return Decision(
        **{
            "id": name,
            "use_case": "modules",
            "challenger": "tuned",
            "model": f"models/{name}",
            "verdict": Verdict(outcome="PROMOTE", rules=[]),
            "comparison_id": "comparison",
            "comparison_digest": "figures",
            "report_fingerprint": "report",
            "report_uri": "gs://bucket/modules/reports/report/summary.json",
            "policy_digest": "policy",
            "prompt_digest": "prompt",
            "evaluation_digest": "data",
            "champion_before": None,
            "created": "2026-11-20T12:00:00+00:00",
        }
        | changes
    )


def make_rollout(candidate: Champion, **changes: Any) -> Rollout:
    """The first stage of a candidate's rollout."""
    return Rollout(
        **{
            "candidate": candidate,
            "stage": "5 %",
            "share": 0.05,
            "mirrored": 0.0,
            "started": "2026-11-20T12:00:00+00:00",
            "since": "2026-11-20T12:00:00+00:00",
        }
        | changes
    )


def make_entry(number: int, kind: EntryKind, **content: Any) -> LogEntry:
    """An entry of the decision log, for functions that only read it."""
    return LogEntry(
        **{
            "number": number,
            "kind": kind,
            "at": "2026-11-21T12:00:00+00:00",
            "by": "ann",
            "reason": "it is worse",
            "previous": "",
            "digest": "",
        }
        | content
    )
