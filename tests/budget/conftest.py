"""A use case to price, and estimates made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from genaiops_dagster.records.budget import CostEstimate, StageCost, totals
from genaiops_dagster.use_case import UseCase


def use_case_with(**sections: Any) -> UseCase:
    """A use case with two candidates and a judge; `sections` replace its own."""
    return UseCase.model_validate(
        {
            "name": "words",
            "description": "For tests.",
            "source": {"sql": "SELECT 1"},
            "columns": {"output": "answer"},
            "prompt": {"template": "{{ question }}"},
            "candidates": {
                "flash": {
                    "model": "gemini-3.5-flash",
                    "generation": {"max_output_tokens": 100, "thinking_level": "MINIMAL"},
                },
                "tuned": {"model": "tuned", "generation": {"max_output_tokens": 100}},
            },
            "tuning": {"base_model": "gemini-3.5-flash", "epochs": 3},
            "gate": {
                "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.5}],
            },
            **sections,
        }
    )


def stage(usd: float = 1.0, **changes: Any) -> StageCost:
    """A stage that costs half of `usd` as expected, and `usd` at most."""
    return StageCost(
        **{
            "stage": "evaluation",
            "model": "gemini-2.5-flash",
            "calls": 10,
            "input_tokens": 100,
            "output_tokens": 50,
            "maximum_output_tokens": 100,
            "cost_usd": usd / 2,
            "maximum_usd": usd,
        }
        | changes
    )


def estimate(*stages: StageCost) -> CostEstimate:
    """An estimate of these stages."""
    return CostEstimate(
        use_case="words",
        training_digest="training",
        evaluation_digest="evaluation",
        prompt_digest="prompt",
        stages=[*stages],
        error_share=0.0,
        emulated=False,
        **totals(stages),
    )


@pytest.fixture
def use_case() -> UseCase:
    return use_case_with()
