"""The schema that the emulator keeps is the one of the libraries that are installed."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

import vertex_emulator.vertex as package
from vertex_emulator.vertex import schema_source

KEPT = json.loads((Path(package.__path__[0]) / "schema.json").read_text())


def test_the_kept_schema_is_that_of_the_installed_libraries() -> None:
    if KEPT["versions"] != {name: version(name) for name in KEPT["versions"]}:
        pytest.skip("other versions are installed; the emulator reads the schema from them")
    found = json.loads(json.dumps(schema_source.read_schema().plain()))
    assert found["messages"] == KEPT["messages"]
    assert found["enums"] == KEPT["enums"]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("GenerateContentRequest", "service_tier"),
        ("Part", "media_resolution"),
        ("TuningJob", "preference_optimization_spec"),
        ("GenerationConfig", "response_json_schema"),
        ("CachedContent", "ttl"),
    ],
)
def test_it_has_the_fields_of_both_libraries(message: str, field: str) -> None:
    assert field in [item[0] for item in KEPT["messages"][message]]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        # Of google-genai's own, or of the Gemini Developer API only
        ("TuningJob", "sdk_http_response"),
        ("Tool", "file_search"),
        ("Tool", "mcp_servers"),
        ("GenerationConfig", "model_selection_config"),
    ],
)
def test_it_has_no_field_that_the_service_does_not(message: str, field: str) -> None:
    assert field not in [item[0] for item in KEPT["messages"][message]]
