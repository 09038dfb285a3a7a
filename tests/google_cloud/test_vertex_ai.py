"""Clients of Vertex AI on machines that reach Google through a proxy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from google.oauth2.credentials import Credentials

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI

ANSWER = {"candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}}]}


class Proxy(BaseHTTPRequestHandler):
    """Answers every request itself, and notes what was asked for."""

    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Addresses that a proxy of the environment was asked for."""
    asked: list[str] = []
    handler = type("Noting", (Proxy,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


async def ask(url: str) -> str:
    settings = GoogleCloudSettings(project="p", bucket="b", location="l", vertex_url=url)
    vertex_ai = VertexAI(settings)
    vertex_ai._credentials = Credentials(token="t")
    async with vertex_ai.genai_in_loop() as client:
        response = await client.aio.models.generate_content(model="gemini-3.5-flash", contents="?")
    return str(response.text)


async def test_content_is_asked_through_the_proxy_of_the_environment(proxy: list[str]) -> None:
    assert await ask("http://vertex.invalid") == "yes"
    [address] = proxy
    assert address.startswith("http://vertex.invalid/v1beta1/projects/p/locations/l/")


async def test_an_address_that_needs_no_proxy_is_asked_itself(
    proxy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "vertex.invalid")
    with pytest.raises(Exception, match=r"vertex\.invalid"):
        await ask("http://vertex.invalid")
    assert proxy == []
