"""A use case to price."""

from __future__ import annotations

from typing import Any

import pytest

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
                    "model": "gemini-2.5-flash",
                    "generation": {"max_output_tokens": 100},
                },
                "tuned": {"model": "tuned", "generation": {"max_output_tokens": 100}},
            },
            "tuning": {"base_model": "gemini-2.5-flash", "epochs": 3},
            "gate": {
                "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.5}],
            },
            **sections,
        }
    )


@pytest.fixture
def use_case() -> UseCase:
    return use_case_with()
