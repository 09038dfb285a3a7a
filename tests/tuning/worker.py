"""Makes one tuned model, and dies by SIGKILL at the n-th request: `worker.py RECIPE AT`.

RECIPE is a tuning recipe as JSON. AT is `before:N:PATTERN` or `after:N:PATTERN`, counting the
requests whose method and URL match PATTERN, or `never`. On success the last line is the endpoint.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import sys
from typing import Any

import httpx
import requests
from google.cloud import storage

from genaiops_dagster.budget.pricing import PriceList
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning.jobs import TuningJobs
from genaiops_dagster.tuning.outcome import tuned_model_of
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.waiting import tuning_jobs, wait_for


def die_at(point: str) -> None:
    """Kill this process just before, or just after, it sends a request."""
    when, number, pattern = point.split(":", 2)
    counter = itertools.count(1)

    def wrap(send: Any) -> Any:
        def sending(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
            matches = re.search(pattern, f"{request.method} {request.url}")
            mine = bool(matches) and next(counter) == int(number)
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            response = send(self, request, *arguments, **options)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return response

        return sending

    httpx.Client.send = wrap(httpx.Client.send)  # type: ignore[method-assign]
    requests.Session.send = wrap(requests.Session.send)  # type: ignore[method-assign]


def main(recipe_json: str, point: str) -> None:
    logging.basicConfig(level=logging.INFO)
    recipe = TuningRecipe.model_validate_json(recipe_json)
    settings = GoogleCloudSettings.from_environment()
    store = ObjectStore(storage.Client(project=settings.project), settings.bucket)
    client = VertexAI(settings).genai
    log = logging.getLogger("tuning")
    if point != "never":
        die_at(point)
    jobs = TuningJobs(client, store, SYSTEM_CLOCK, log, claim_seconds=1.2)
    job = jobs.get_or_create(recipe, before_create=lambda: None)
    job = wait_for(job, tuning_jobs(client), 60, SYSTEM_CLOCK, log)
    made = tuned_model_of(job, recipe, prices=PriceList(SYSTEM_CLOCK.now()), emulated=True)
    print(made.endpoint)


if __name__ == "__main__":
    main(*sys.argv[1:])
