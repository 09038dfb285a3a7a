"""Every shipped use case with every model, wherever the facts say that it is served."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from genaiops_dagster.google_cloud.base_models import model_facts
from genaiops_dagster.use_case import SHIPPED
from tests.integration.test_lifecycle import Project, project

__all__ = ["project"]

pytestmark = pytest.mark.slow

PLACES = {
    f"{model.name}_{place}".replace("-", "_").replace(".", "_"): (model, place)
    for model in model_facts().models.values()
    if not model.ended
    for place in model.locations
}


def everywhere(use_case: dict[str, Any]) -> dict[str, Any]:
    """The use case with a candidate for each model and place, on a few rows."""
    generation = {
        "max_output_tokens": use_case["candidates"]["tuned"]["generation"]["max_output_tokens"]
    }
    candidates = {
        name: {
            "model": model.name,
            "location": place,
            "generation": {**generation, "thinking_level": model.thinking_levels[0]},
        }
        for name, (model, place) in PLACES.items()
    }
    return {
        **use_case,
        "name": f"{use_case['name']}_everywhere",
        "split": {**use_case["split"], "maximum_evaluation_rows": 10},
        "candidates": {**candidates, "tuned": use_case["candidates"]["tuned"]},
        "budget": {"per_run_usd": 200.0},
        "gate": {
            "challenger": "tuned",
            "minimum_rows": 5,
            "rules": [
                {
                    "rule": "threshold",
                    "metric": use_case["evaluation"]["primary_metric"],
                    "at_least": 0.0,
                }
            ],
        },
    }


@pytest.mark.parametrize("name", sorted(file.stem for file in SHIPPED.glob("*.yaml")))
def test_every_model_answers_wherever_it_is_served(project: Project, name: str) -> None:
    use_case = everywhere(yaml.safe_load((SHIPPED / f"{name}.yaml").read_text()))
    (project.use_cases / f"{use_case['name']}.yaml").write_text(yaml.safe_dump(use_case))
    results = project.run(use_case["name"])
    assert results["completed"]
    assert results["candidates"].keys() == {*PLACES, "tuned"}
    for candidate, report in results["candidates"].items():
        texts = sum(report["states"].get(state, 0) for state in ("answered", "truncated"))
        assert texts == report["rows"] > 0, (candidate, report["states"])
