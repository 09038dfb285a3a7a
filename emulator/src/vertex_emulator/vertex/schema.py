"""Which fields and enum values the messages of the Vertex AI API have.

The schema is the union of the proto types that `google-cloud-aiplatform` ships and of the newer
fields that only `google.genai.types` has so far; neither alone is what the service takes. It is
kept in `schema.json`, because importing both libraries takes longer than starting the emulator;
with other versions of them installed it is read from the libraries instead.
"""

from __future__ import annotations

import json
from functools import cache

from vertex_emulator.vertex.schema_form import FILE, ROOTS, Schema, installed_versions
from vertex_emulator.vertex.schema_source import read_schema


@cache
def schema() -> Schema:
    """The schema of the installed libraries; computed once."""
    kept = json.loads(FILE.read_text())
    installed = installed_versions()
    if kept["roots"] == list(ROOTS) and kept["versions"] == installed:
        return Schema.from_plain(kept)
    if not all(installed.values()):
        return Schema.from_plain(kept)
    return read_schema()
