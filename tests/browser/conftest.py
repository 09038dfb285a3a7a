"""Headless Chromium, and a page of another origin that attacks from it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NAMES = ("evil.example", "rebound.example")
"""Names of the internet that lead to this machine, as their owner can make them."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser that asks nobody for addresses and sends nothing by itself."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                # The guard is what is tried, not the permission that this browser asks for besides.
                "--disable-features=LocalNetworkAccessChecks",
                f"--host-resolver-rules={', '.join(f'MAP {name} 127.0.0.1' for name in NAMES)}",
            ],
        )
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own for one test."""
    profile = browser.new_context(accept_downloads=True)
    yield profile
    profile.close()


@dataclass
class Site:
    """A web site that anybody may have put up, and what it was asked.

    Attributes:
        port: Where it serves, on every name that leads to this machine.
        asked: `METHOD /path?query` of each request.
    """

    port: int
    asked: list[str] = field(default_factory=list)

    def open(self, context: BrowserContext, host: str = "evil.example") -> Page:
        """Its page in a tab."""
        page = context.new_page()
        page.goto(f"http://{host}:{self.port}/")
        return page


def _handler(asked: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            asked.append(f"{self.command} {self.path}")
            body = b"<!doctype html><title>page</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the names that http.server looks for
        do_OPTIONS = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    return Handler


@pytest.fixture
def new_site() -> Iterator[Callable[[], Site]]:
    """Puts up a site; called twice, the second is the victim that shows what attacks can do."""
    servers: list[ThreadingHTTPServer] = []

    def start() -> Site:
        asked: list[str] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(asked))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Site(server.server_address[1], asked)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
