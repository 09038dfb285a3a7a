"""Every route of every service, asked with any name, query and body: never a 500."""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

from vertex_emulator.config import EmulatorConfig
from vertex_emulator.server import create_app
from vertex_emulator.testing import RunningEmulator

CALM = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# The emulator's own paths are left alone.
OWN = ("/emulator", "/token")

NAMES = st.one_of(
    st.sampled_from(["1", "1@2", "x", "default", "emulated-bucket", "..", ".", "../../etc/passwd"]),
    st.sampled_from(["a\0b", "%", "%2e%2e", "a/b", "'; DROP TABLE x; --", "-", "ü", "\U0001f600"]),
    st.text(min_size=1, max_size=12),
)
PARAMETERS = """filter pageSize pageToken orderBy updateMask view alt fields maxResults prefix
  readMask startIndex timeoutMs generation ifGenerationMatch uploadType name project delimiter
  versions deleteContents allowMissing etag force parent contextId artifactId executionId
  metadataStoreId"""
TEXTS = st.one_of(
    st.sampled_from(["", "0", "-1", "9" * 30, "true", "*", "labels.a=b", "a=", "NOT (", "a AND b"]),
    st.text(max_size=12),
)
FIELDS = """name displayName labels state metadata schemaTitle uri etag versionAliases model events
  contexts childContexts executions artifacts deployedModelId trafficSplit ttl expireTime contents
  spec baseModel supervisedTuningSpec inputConfig outputConfig datasetReference query
  tableReference configuration rows jobReference sourceObjects destination
  runtimeConfig templateUri"""
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 2**70), st.floats(), TEXTS)
BODIES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(FIELDS.split()), inner, max_size=4),
    ),
    max_leaves=10,
)


def paths_of(routes: list[BaseRoute]) -> list[tuple[str, str]]:
    """Verb and path template of every route of the services."""
    found = {
        (verb, route.path)
        for route in routes
        if isinstance(route, Route) and not route.path.startswith(OWN)
        for verb in route.methods or ("GET", "POST", "PUT", "DELETE")
    }
    return sorted(found - {("HEAD", path) for _, path in found})


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    app = create_app(EmulatorConfig(tmp_path_factory.mktemp("routes"), seed_public_data=False))
    with TestClient(app):  # closes the databases
        return paths_of(app.routes)


def test_every_route_withstands_anything(
    emulator: RunningEmulator, calls: list[tuple[str, str]]
) -> None:
    log = emulator.state.parent / f"{emulator.state.name}.log"
    before = log.stat().st_size
    neighbours = set(emulator.state.parent.iterdir())
    assert len(calls) > 200

    @CALM
    @given(data=st.data())
    def attack(data: st.DataObject) -> None:
        verb, template = data.draw(st.sampled_from(calls))
        path = re.sub(r"\{[^}]+\}", lambda _: quote(data.draw(NAMES), safe=""), template)
        query = data.draw(st.dictionaries(st.sampled_from(PARAMETERS.split()), TEXTS, max_size=3))
        body = data.draw(st.one_of(BODIES.map(as_json), st.binary(max_size=20)))
        status, answer = ask(emulator, verb, f"{path}?{urlencode(query)}", body)
        assert status < 500 or status == 501, answer
        if status >= 400 and path.startswith(("/v1", "/bigquery", "/storage")):
            assert json.loads(answer)["error"]["message"]

    attack()
    assert "Traceback" not in log.read_bytes()[before:].decode()
    assert set(emulator.state.parent.iterdir()) == neighbours


def as_json(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def ask(running: RunningEmulator, verb: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=60)
    try:
        connection.request(verb, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
