"""A worker that is killed at any moment and started again pays for one job, and gets its model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from genaiops_dagster.tuning.jobs import record_name
from genaiops_dagster.tuning.recipe import TuningRecipe
from tests.tuning.conftest import Cloud

POINTS = [f"{when}:{number}:" for number in range(1, 13) for when in ("before", "after")]


def work(recipe: TuningRecipe, point: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.tuning.worker", recipe.model_dump_json(), point],
        capture_output=True,
        text=True,
        timeout=90,
        env=dict(os.environ),
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_and_started_again(cloud: Cloud, recipe: TuningRecipe, point: str) -> None:
    killed = work(recipe, point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = work(recipe, "never")
    assert done.returncode == 0, done.stderr
    assert cloud.count_jobs(recipe) == 1
    job = cloud.jobs().find(recipe)
    assert job is not None
    assert job.tuned_model is not None
    assert done.stdout.splitlines()[-1] == job.tuned_model.endpoint


def test_killed_between_claim_and_job_and_after_the_job(cloud: Cloud, recipe: TuningRecipe) -> None:
    """The two narrow windows, one after the other, on one recipe; the slow test tries them all."""
    create = "1:^POST .*/tuningJobs$"
    assert work(recipe, f"before:{create}").returncode == -signal.SIGKILL
    assert cloud.count_jobs(recipe) == 0
    assert cloud.store.exists(f"sums/tuning/{recipe.fingerprint}.claim-1.json")
    assert work(recipe, f"after:{create}").returncode == -signal.SIGKILL
    assert cloud.count_jobs(recipe) == 1
    assert not cloud.store.exists(record_name(recipe))
    assert work(recipe, "never").returncode == 0
    assert cloud.count_jobs(recipe) == 1
