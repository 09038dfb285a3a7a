"""`genaiops dev`: the UI's own API materializes assets, nobody else's pages do, Ctrl-C ends all."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from genaiops_dagster.orchestration.plain_text import visible
from vertex_emulator.testing import GOOGLE_VARIABLES

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUN = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


RUNS = "query Runs { runsOrError { ... on Runs { results { runId } } } }"
EVENTS = """
subscription Events($id: ID!) {
  pipelineRunLogs(runId: $id) {
    ... on PipelineRunLogsSubscriptionSuccess { messages { __typename } }
  }
}
"""


def ask(address: str, query: str, **variables: Any) -> dict[str, Any]:
    """Ask Dagster's API at an address as `genaiops dev` prints it."""
    url, token = parts(address)
    return ask_with(url, {"Authorization": f"Bearer {token}"}, query, **variables)


def ask_with(url: str, headers: Mapping[str, str], query: str, **variables: Any) -> dict[str, Any]:
    """Ask Dagster's API with exactly these headers besides the content's type."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"{url}/graphql", body, {"content-type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def parts(address: str) -> tuple[str, str]:
    """Scheme, host and port of a printed address; its token."""
    url, _, token = address.partition("/?token=")
    assert token, address
    return url, token


def execution_of(job: str, *assets: list[str]) -> dict[str, Any]:
    """What the UI sends when its button is pressed."""
    selector = {
        "repositoryLocationName": "genaiops_dagster",
        "repositoryName": "__repository__",
        "pipelineName": job,
        **({"assetSelection": [{"path": path} for path in assets]} if assets else {}),
    }
    return {"mode": "default", "selector": selector, "runConfigData": "{}"}


def materialize(address: str, job: str, *assets: list[str]) -> str:
    """Launch as the UI's button does, and wait; the run's final status."""
    params = execution_of(job, *assets)
    launched = ask(address, LAUNCH, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        status = ask(address, RUN, id=launched["run"]["runId"])["runOrError"]["status"]
        if status in ("SUCCESS", "FAILURE", "CANCELED"):
            return status
        time.sleep(1)
    raise TimeoutError(status)


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that name `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def run_ids(address: str) -> set[str]:
    runs = ask(address, RUNS)["runsOrError"]["results"]
    return {run["runId"] for run in runs}


def login(address: str) -> str:
    """Open the printed address as a browser does; the cookie that it then sends."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(address, timeout=60) as response:
        page = response.read().decode()
        assert response.url == f"{parts(address)[0]}/"
        assert "<title" in page
        assert "Dagster" in page
        assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "script-src" in response.headers["Content-Security-Policy"]
    jar = next(x for x in browser.handlers if isinstance(x, urllib.request.HTTPCookieProcessor))  # type: ignore[attr-defined]
    [cookie] = jar.cookiejar
    return f"{cookie.name}={cookie.value}"


def launch_is_refused(address: str) -> None:
    """All that a page of another site, or another program, can send launches nothing."""
    url, token = parts(address)
    cookie = {"Cookie": login(address)}
    params = execution_of("__ASSET_JOB", ["python_modules", "prompt"])
    before = run_ids(address)
    assert ask_with(url, cookie, RUNS)["runsOrError"]["results"]
    assert ask_with(url, {**cookie, "Origin": url}, RUNS)["runsOrError"]["results"]
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer " + "x" * len(token)}, 401),
        ({**cookie, "Origin": "https://evil.example"}, 403),
        ({**cookie, "Origin": "null"}, 403),
        ({**cookie, "Sec-Fetch-Site": "same-site"}, 403),
        ({**cookie, "Host": f"rebound.example:{url.rpartition(':')[2]}"}, 403),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask_with(url, headers, LAUNCH, params=params)
        assert refused.value.code == status, headers
    query = urlencode({"query": LAUNCH, "variables": json.dumps({"params": params})})
    for path in ("/graphql", "/graphql%0A"):
        request = urllib.request.Request(f"{url}{path}?{query}", headers=cookie)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == 405
    assert run_ids(address) == before


def events(url: str, run: str, **headers: str) -> list[dict[str, str]]:
    """First events of a run, by the subscription with which the UI shows them."""
    start = {"query": EVENTS, "variables": {"id": run}}
    with connect(
        f"{url.replace('http', 'ws', 1)}/graphql",
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
        additional_headers=headers,
        proxy=None,
    ) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(30))["type"] == "connection_ack"
        socket.send(json.dumps({"id": "1", "type": "start", "payload": start}))
        answer = json.loads(socket.recv(30))
    assert answer["type"] == "data", answer
    return answer["payload"]["data"]["pipelineRunLogs"]["messages"]


def subscription_needs_the_cookie(address: str) -> None:
    url, _ = parts(address)
    run = next(iter(run_ids(address)))
    cookie = login(address)
    assert {"__typename": "RunSuccessEvent"} in events(url, run, Cookie=cookie, Origin=url)
    for headers in ({"Origin": url}, {"Origin": "https://evil.example", "Cookie": cookie}):
        with pytest.raises(InvalidStatus) as refused:
            events(url, run, **headers)
        assert refused.value.response.status_code == 403


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_the_ui_materializes_one_asset_and_all_and_stops_cleanly(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(GOOGLE_VARIABLES)}
    environment.pop("DAGSTER_HOME", None)
    process = subprocess.Popen(
        [
            *(sys.executable, "-u", "-m", "genaiops_dagster.cli", "dev"),
            *("--port", "0", "--folder", str(tmp_path)),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = next(x.split()[-1] for x in process.stdout if x.startswith("Dagster UI"))
    try:
        prompt = ["python_modules", "prompt"]
        assert materialize(address, "__ASSET_JOB", prompt) == "SUCCESS"
        subscription_needs_the_cookie(address)
        launch_is_refused(address)
        assert materialize(address, "python_modules_lifecycle") == "SUCCESS"
        champion = ["python_modules", "champion"]
        assert materialize(address, "__ASSET_JOB", champion) == "SUCCESS"
        assert parts(address)[1] not in " ".join(processes_of(tmp_path))
    finally:
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
        assert parts(address)[1] not in printed  # in a log of requests
    time.sleep(1)
    assert processes_of(tmp_path) == []


SAYS = """
import sys
if "genaiops_dagster.cli" not in sys.orig_argv:
    sys.stderr.write("\\x1b[31mred\\x1b[0m \\x1b[2J\\x1b]0;title\\x07 over\\rwritten\\n")
"""
"""What every Python program of a folder on its path says when it starts."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_on_a_terminal_its_programs_steer_nothing_and_ctrl_c_ends_them(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SAYS)
    folder = tmp_path / "home"
    process, terminal = pty.fork()
    if process == 0:
        for name in [x for x in os.environ if x.startswith((*GOOGLE_VARIABLES, "DAGSTER_HOME"))]:
            del os.environ[name]
        os.environ["PYTHONPATH"] = str(tmp_path)
        command = ["-m", "genaiops_dagster.cli", "dev", "--port", "0", "--folder", str(folder)]
        os.execv(sys.executable, [sys.executable, *command])
    try:
        found = b""
        while b"Ctrl-C stops everything." not in found:
            found += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        while b"stopped" not in found:
            found += os.read(terminal, 4096)
    finally:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;]*m", "", found.decode())
    assert text.replace("\r\n", "\n") == visible(text)
    assert text.count(r"red \x1b[2J\x1b]0;title\x07 over\rwritten") >= 2, "web server and daemon"
    assert "\x1b[31mred\x1b[0m" in found.decode()
    assert "`genaiops open` shows it again" in text
    time.sleep(1)
    assert processes_of(folder) == []
