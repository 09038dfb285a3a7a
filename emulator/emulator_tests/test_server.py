"""Who may ask the emulator, and what it says to what it does not serve."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import pkgutil
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.cloud import aiplatform_v1, aiplatform_v1beta1

from vertex_emulator.loopback import proxy_exceptions
from vertex_emulator.testing import RunningEmulator, start_emulator

PARENT = "projects/p/locations/us-central1"


def ask(running: RunningEmulator, verb: str, path: str, host: str | None = None) -> tuple[int, Any]:
    """Status and body of a request with an empty JSON object, and a `Host` of one's own."""
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=20)
    connection.putrequest(verb, path, skip_host=host is not None)
    if host is not None:
        connection.putheader("Host", host)
    token = running.variables["VERTEX_EMULATOR_TOKEN"]
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"{}")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    return response.status, json.loads(text) if is_json and text else text


@pytest.mark.parametrize(
    "path",
    [
        "/storage/v1/b?project=p",
        "/bigquery/v2/projects/p/datasets",
        f"/v1/{PARENT}/tuningJobs",
        "/emulator/stats",
        "/token",
        "/emulated-bucket/object",
    ],
)
@pytest.mark.parametrize(
    "host",
    ["example.com", "127.0.0.1.example.com", "localhost.example.com:80", "0.0.0.0", "[::2]:80", ""],
)
def test_other_hosts_than_loopback_are_refused(
    emulator: RunningEmulator, host: str, path: str
) -> None:
    status, body = ask(emulator, "GET", path, host)
    assert status == 403
    assert "loopback" in body["error"]["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:8765", "[::1]:80"])
def test_loopback_hosts_are_answered(emulator: RunningEmulator, host: str) -> None:
    status, body = ask(emulator, "GET", "/emulator/ready", host)
    assert (status, body["status"]) == (200, "ready")


def test_only_one_loopback_address_is_bound(emulator: RunningEmulator) -> None:
    port = urlsplit(emulator.url).port
    # Each of these would answer if the server listened on all addresses.
    others = {"127.0.0.2", socket.gethostbyname(socket.gethostname())} - {"127.0.0.1"}
    for address in others:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass


def methods(api: ModuleType) -> Iterator[tuple[str, str, str, str]]:
    """Service, method, verb and path of every method of the generated REST clients."""
    for service in pkgutil.iter_modules(api.services.__path__, f"{api.services.__name__}."):
        try:
            rest = importlib.import_module(f"{service.name}.transports.rest_base")
        except ModuleNotFoundError:
            continue
        (transport,) = (
            value
            for name, value in vars(rest).items()
            if name.startswith("_Base") and name.endswith("RestTransport")
        )
        for name, method in vars(transport).items():
            options = getattr(method, "_get_http_options", None)
            if name.startswith("_Base") and options:
                rule = options()[0]
                yield service.name, name.removeprefix("_Base"), rule["method"].upper(), rule["uri"]


def example_path(uri: str) -> str:
    """A path that a URI template matches, with a number for each name."""
    path = re.sub(r"\{[^=}]+=([^}]*)\}", lambda match: match[1], uri)
    return re.sub(r"\*\*?", "123", re.sub(r"\{[^=}]+\}", "123", path))


@pytest.mark.parametrize("api", [aiplatform_v1, aiplatform_v1beta1])
def test_every_method_of_vertex_ai_is_served_or_refused_by_name(
    emulator: RunningEmulator, api: ModuleType
) -> None:
    asked = 0
    for service, method, verb, uri in methods(api):
        path = example_path(uri)
        if not path.startswith(("/v1/", "/v1beta1/")):
            continue  # addresses of Google's console
        status, body = ask(emulator, verb, path)
        where = f"{service}.{method}: {verb} {path}"
        assert status in {200, 400, 404, 409, 412, 501}, f"{where}: {status} {body}"
        if status != 200:
            message = body["error"]["message"]
            assert message, where
            assert not message.startswith("The emulator serves no"), where
        if status == 501:
            assert path in message or "does not serve" in message, where
        asked += 1
    assert asked > 300


@pytest.mark.parametrize(
    ("verb", "path", "method"),
    [
        ("POST", f"/v1beta1/{PARENT}/evaluationRuns", "evaluationRuns.create"),
        ("GET", f"/v1beta1/{PARENT}/evaluationSets/1", "evaluationSets.get"),
        ("DELETE", f"/v1beta1/{PARENT}/evaluationItems/1", "evaluationItems.delete"),
        ("GET", f"/v1/{PARENT}/tensorboards/1/experiments", "tensorboards.experiments.list"),
        ("POST", f"/v1/{PARENT}/ragCorpora", "ragCorpora.create"),
        ("POST", f"/v1/{PARENT}/reasoningEngines/1:query", "reasoningEngines.query"),
        ("GET", "/bigquery/v2/projects/p/datasets/d/models", "models.list"),
        ("POST", "/bigquery/v2/projects/p/datasets/d/routines", "routines.insert"),
        (
            *("GET", "/bigquery/v2/projects/p/datasets/d/tables/t/rowAccessPolicies"),
            "rowAccessPolicies.list",
        ),
        ("POST", "/bigquery/v2/projects/p/datasets/d/tables/t:getIamPolicy", "tables.getIamPolicy"),
    ],
)
def test_methods_that_are_not_served_are_named(
    emulator: RunningEmulator, verb: str, path: str, method: str
) -> None:
    status, body = ask(emulator, verb, path)
    assert (status, body["error"]["status"]) == (501, "UNIMPLEMENTED")
    assert method in body["error"]["message"]
    service = "bigquery" if "bigquery" in path else "vertex"
    assert emulator.stats()["requests"][service][method] >= 1


def test_paths_of_no_api_are_not_found(emulator: RunningEmulator) -> None:
    status, body = ask(emulator, "GET", "/")
    assert status == 404
    assert "genai.Client()" in body["error"]["message"]


def run_to_its_end(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vertex_emulator", *options],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_port_that_is_taken_is_named(emulator: RunningEmulator, tmp_path: Path) -> None:
    port = str(urlsplit(emulator.url).port)
    result = run_to_its_end("--port", port, "--state", str(tmp_path / "state"))
    assert result.returncode == 2
    assert f"{port} is taken" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_state_folder_in_use_is_neither_served_nor_reset(emulator: RunningEmulator) -> None:
    result = run_to_its_end("--port", "0", "--state", str(emulator.state), "--reset")
    assert result.returncode != 0
    assert "another emulator serves" in result.stderr
    assert ask(emulator, "GET", "/storage/v1/b/emulated-bucket")[0] == 200
    assert (emulator.state / "credentials.json").exists()


def test_reset_clears_the_state(tmp_path: Path) -> None:
    first = start_emulator(tmp_path / "state")
    path = "/upload/storage/v1/b/emulated-bucket/o?uploadType=media&name=x"
    assert ask(first, "POST", path)[0] == 200
    first.stop()
    second = start_emulator(tmp_path / "state", "--reset")
    try:
        assert ask(second, "GET", "/storage/v1/b/emulated-bucket/o/x")[0] == 404
    finally:
        second.stop()


def test_the_help_names_every_option() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "vertex_emulator", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "TERM": "dumb"},
    )
    for option in ("--port", "--state", "--env-file", "--reset", "--tuning-seconds", "--faults"):
        assert option in result.stdout


def test_the_variables_lead_past_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "intranet.example.com")
    running = start_emulator(tmp_path / "state")
    try:
        assert running.variables["NO_PROXY"] == "intranet.example.com,127.0.0.1,localhost,::1"
        script = (
            "from google import genai; from google.cloud import bigquery, storage;"
            "[bucket.name for bucket in storage.Client().list_buckets()];"
            "bigquery.Client().query('SELECT 1').result();"
            "client = genai.Client(location='global');"
            "client.models.count_tokens(model='gemini-3.5-flash', contents='a')"
        )
        nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
        environment = {**os.environ, **running.variables, **nowhere}
        subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    finally:
        running.stop()


def test_a_small_answer_comes_in_one_piece(emulator: RunningEmulator) -> None:
    where = urlsplit(emulator.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        token = emulator.variables["VERTEX_EMULATOR_TOKEN"]
        for _ in range(50):
            connection.sendall(
                f"GET /emulator/ready HTTP/1.1\r\nHost: {where.netloc}\r\n"
                f"Authorization: Bearer {token}\r\n\r\n".encode()
            )
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(body)["status"] == "ready"


@pytest.mark.parametrize(
    ("set_", "told"),
    [
        ("", "127.0.0.1,localhost,::1"),
        ("a.example, localhost", "a.example,localhost,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
def test_exceptions_of_proxies_stay(monkeypatch: pytest.MonkeyPatch, set_: str, told: str) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", set_)
    assert proxy_exceptions() == {"no_proxy": told, "NO_PROXY": told}
