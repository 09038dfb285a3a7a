"""Clients of the running emulator, made from its variables alone."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google import genai
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator

MODEL = "gemini-3.5-flash"
LOCATION = "global"

_CLIENTS: dict[str, genai.Client] = {}


@pytest.fixture
def new_client(emulator: RunningEmulator) -> genai.Client:
    """A client of this test's own, as its connections belong to one event loop."""
    return genai.Client(location=LOCATION)


@pytest.fixture
def client(emulator: RunningEmulator, request: pytest.FixtureRequest) -> genai.Client:
    """One client for all tests of an emulator."""
    if emulator.url not in _CLIENTS:
        _CLIENTS[emulator.url] = request.getfixturevalue("new_client")
    return _CLIENTS[emulator.url]


@pytest.fixture
def bucket(emulator: RunningEmulator) -> storage.Bucket:
    return storage.Client().bucket(os.environ["GENAIOPS_BUCKET"])


@pytest.fixture
def parent(emulator: RunningEmulator) -> str:
    return f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/locations/{LOCATION}"


Post = Callable[..., tuple[int, Any]]


@pytest.fixture
def post(emulator: RunningEmulator, parent: str) -> Post:
    """Send a raw body to a method of a model, or to a path; answers status and JSON."""

    def send(
        body: Any,
        method: str = "generateContent",
        model: str = MODEL,
        version: str = "v1beta1",
        path: str | None = None,
    ) -> tuple[int, Any]:
        path = path or f"publishers/google/models/{model}:{method}"
        url = f"{emulator.url}/{version}/{parent}/{path}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return send


@pytest.fixture
def set_faults(emulator: RunningEmulator) -> Iterator[Callable[..., dict[str, Any]]]:
    """Put faults in force until the end of the test; returns the emulator's answer."""

    def send(*faults: dict[str, Any], seed: int = 0) -> dict[str, Any]:
        return emulator.ask("PUT", "faults", {"seed": seed, "faults": faults})

    yield send
    emulator.clear_faults()
