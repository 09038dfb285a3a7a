"""What a request asks for, told from its verb and path.

The names of the methods: https://cloud.google.com/vertex-ai/docs/reference/rest,
https://cloud.google.com/bigquery/docs/reference/rest, https://cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from vertex_emulator.calls import describe
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.server import create_app

PARENT = "/v1/projects/p/locations/l"
MODEL = f"{PARENT}/publishers/google/models/gemini-3.5-flash"


@pytest.mark.parametrize(
    ("verb", "path", "service", "method", "model"),
    [
        ("POST", f"{MODEL}:generateContent", "vertex", "generateContent", "gemini-3.5-flash"),
        ("POST", "/v1beta1/publishers/google/models/m:countTokens", "vertex", "countTokens", "m"),
        ("POST", f"{PARENT}/endpoints/7:predict", "vertex", "predict", "7"),
        ("POST", f"{PARENT}/endpoints/7:deployModel", "vertex", "endpoints.deployModel", "7"),
        ("POST", f"{PARENT}:evaluateInstances", "vertex", "evaluateInstances", None),
        ("GET", f"{PARENT}/tuningJobs", "vertex", "tuningJobs.list", None),
        ("POST", f"{PARENT}/tuningJobs/1:cancel", "vertex", "tuningJobs.cancel", None),
        ("PATCH", f"{PARENT}/cachedContents/1", "vertex", "cachedContents.patch", None),
        ("GET", f"{PARENT}/models/1/operations/2", "vertex", "operations.get", None),
        ("POST", "/upload/storage/v1/b/x/o", "storage", "objects.insert", None),
        ("GET", "/storage/v1/b/x/o", "storage", "objects.list", None),
        ("GET", "/download/storage/v1/b/x/o/a%2Fcompose", "storage", "objects.get", None),
        ("POST", "/storage/v1/b/x/o/a/compose", "storage", "objects.compose", None),
        ("POST", "/storage/v1/b/x/o/a/rewriteTo/b/y/o/c", "storage", "objects.rewrite", None),
        ("GET", "/storage/v1/b", "storage", "buckets.list", None),
        ("GET", "/x/a%2Fb", "storage", "objects.get", None),
        ("POST", "/bigquery/v2/projects/p/queries", "bigquery", "jobs.query", None),
        ("GET", "/bigquery/v2/projects/p/queries/1", "bigquery", "jobs.getQueryResults", None),
        ("POST", "/upload/bigquery/v2/projects/p/jobs", "bigquery", "jobs.insert", None),
        (
            *("POST", "/bigquery/v2/projects/p/datasets/d/tables/t/insertAll"),
            *("bigquery", "tabledata.insertAll", None),
        ),
        ("GET", "/bigquery/v2/projects", "bigquery", "projects.list", None),
        (
            *("POST", "/bigquery/v2/projects/p/datasets/d/tables/t:getIamPolicy"),
            *("bigquery", "tables.getIamPolicy", None),
        ),
        ("GET", PARENT, "vertex", "locations.get", None),
        ("GET", "/emulator/stats", "", "", None),
        ("POST", "/token", "", "", None),
    ],
)
def test_describe(verb: Any, path: Any, service: Any, method: Any, model: Any) -> None:
    call = describe(verb, path)
    assert (call.service, call.method, call.model, call.path) == (service, method, model, path)


def test_methods_are_called_the_same_in_statistics_and_faults(tmp_path: Path) -> None:
    # Otherwise a thread imports it while this one may: pytest parses what it imports, which
    # CPython 3.11.7 cannot do in two threads at once.
    importlib.import_module("vertex_emulator.models.tuned")
    app = create_app(EmulatorConfig(tmp_path, seed_public_data=False))
    with TestClient(app):  # closes the databases
        routes = list(app.routes)
    different = []
    for route in routes:
        path = re.sub(r"\{[^}]*\}", "x", getattr(route, "path", ""))
        if path.startswith("/v1"):
            (verb,) = route.methods - {"HEAD"}  # type: ignore[attr-defined]
            if describe(verb, path).method != route.name:  # type: ignore[attr-defined]
                different.append((verb, path, route.name))  # type: ignore[attr-defined]
    assert different == []
