"""Champions made by hand, for tests of promotion."""

from __future__ import annotations

from typing import Any

from genaiops_dagster.records.promotion import Champion
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
