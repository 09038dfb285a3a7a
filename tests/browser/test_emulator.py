"""A page of another origin changes nothing in the emulator, whatever a browser lets it send."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.cloud import storage
from playwright.sync_api import BrowserContext, Error

from tests.browser import attacks
from tests.browser.conftest import Site
from vertex_emulator.testing import RunningEmulator

pytestmark = pytest.mark.slow

FAULT = json.dumps({"kind": "error", "service": "bigquery"})
FAULT_AS_FIELD = FAULT.replace("}", ', "message": "')
PAGE = """<script>
  const store = '/upload/storage/v1/b/emulated-bucket/o?uploadType=media&name=stolen';
  fetch(store, {method: 'POST', body: document.domain});
</script>"""


def seen(emulator: RunningEmulator) -> dict[str, Any]:
    """Everything that an attack may have changed."""
    jobs = emulator.ask("GET", "stats")["requests"].get("vertex", {})
    return {
        "objects": sorted(
            (blob.name, blob.generation)
            for blob in storage.Client().list_blobs("emulated-bucket", versions=True)
        ),
        "buckets": sorted(bucket.name for bucket in storage.Client().list_buckets()),
        "pipelines": jobs.get("pipelineJobs.create", 0),
        "tuning": jobs.get("tuningJobs.create", 0),
        "faults": emulator.ask("GET", "faults")["faults"],
    }


def attack(page: Any, url: str) -> None:
    """All that a page can send to an emulator at `url`."""
    upload = f"{url}/upload/storage/v1/b/emulated-bucket/o?uploadType"
    parts = {"metadata": '{"name": "form.html", "contentType": "text/html"}', "file": PAGE}
    vertex = f"{url}/v1/projects/p/locations/us-central1"
    attacks.form(page, f"{upload}=multipart", parts, "multipart/form-data")
    attacks.form(page, f"{upload}=media&name=form", {"a": PAGE}, "text/plain")
    attacks.form(page, f"{url}/emulator/faults", {FAULT_AS_FIELD: '"}'}, "text/plain")
    attacks.fetch(page, f"{upload}=media&name=fetch.html", "POST", PAGE, "text/plain")
    attacks.fetch(page, f"{url}/emulator/faults", "POST", FAULT, "text/plain")
    attacks.fetch(page, f"{url}/storage/v1/b?project=p", "POST", '{"name": "stolen-bucket"}')
    attacks.fetch(page, f"{vertex}/pipelineJobs", "POST", "{}", "text/plain")
    attacks.fetch(page, f"{vertex}/tuningJobs", "POST", "{}", "text/plain")
    attacks.image(page, f"{url}/emulator/stats")
    attacks.frame(page, f"{url}/storage/v1/b/emulated-bucket/o")
    headers = {"Content-Type": "application/json", "Authorization": "Bearer a-token"}
    for method, path in (
        ("DELETE", f"{url}/storage/v1/b/emulated-bucket/o/kept"),
        ("PUT", f"{url}/emulator/faults"),
        ("POST", f"{vertex}/pipelineJobs"),
    ):
        assert not attacks.fetch_with_preflight(page, path, method, headers)
    attacks.navigate(page, f"{url}/emulated-bucket/kept.html")


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1"])
def test_a_page_of_another_origin_changes_nothing(
    emulator: RunningEmulator,
    context: BrowserContext,
    new_site: Callable[[], Site],
    host: str,
) -> None:
    bucket = storage.Client().bucket("emulated-bucket")
    bucket.blob("kept").upload_from_string("kept")
    bucket.blob("kept.html").upload_from_string(PAGE, content_type="text/html")
    site, victim = new_site(), new_site()
    before = seen(emulator)
    attack(site.open(context, host), emulator.url)
    attack(site.open(context, host), emulator.url.replace("127.0.0.1", "localhost"))
    assert seen(emulator) == before
    # The same attacks reach a server without a guard.
    attack(site.open(context, host), f"http://127.0.0.1:{victim.port}")
    sent = {line.partition("?")[0] for line in victim.asked}
    assert {
        "POST /upload/storage/v1/b/emulated-bucket/o",
        "POST /emulator/faults",
        "GET /emulator/stats",
        "GET /storage/v1/b/emulated-bucket/o",
        "POST /v1/projects/p/locations/us-central1/pipelineJobs",
        "GET /emulated-bucket/kept.html",
    } <= sent


def test_a_rebound_name_changes_nothing(
    emulator: RunningEmulator, context: BrowserContext, new_site: Callable[[], Site]
) -> None:
    """The page's own name leads to this machine now, so the browser takes it for one origin."""
    origin = f"http://rebound.example:{emulator.url.rpartition(':')[2]}"
    before = seen(emulator)
    page = context.new_page()
    # What the name led to before.
    page.route(f"{origin}/", lambda route: route.fulfill(body="<p>", content_type="text/html"))
    page.goto(f"{origin}/")
    statuses = page.evaluate(
        """paths => Promise.all(paths.map(([method, path]) => fetch(path, {method, body:
            method == 'POST' ? '{}' : undefined}).then(answer => answer.status)))""",
        [
            ["POST", "/upload/storage/v1/b/emulated-bucket/o?uploadType=media&name=rebound"],
            ["POST", "/v1/projects/p/locations/us-central1/pipelineJobs"],
            ["GET", "/storage/v1/b/emulated-bucket/o"],
            ["DELETE", "/emulator/stats"],
        ],
    )
    assert statuses == [403] * 4
    assert seen(emulator) == before


def test_what_is_stored_never_runs(
    emulator: RunningEmulator, context: BrowserContext, new_site: Callable[[], Site]
) -> None:
    """Not in a tab that its owner opens, and not with the type that an address asks for."""
    bucket = storage.Client().bucket("emulated-bucket")
    addresses = []
    for name, kind in (
        ("page.html", "text/html"),
        ("page.svg", "image/svg+xml"),
        ("page.xhtml", "application/xhtml+xml"),
        ("page", "application/octet-stream"),
    ):
        body = PAGE
        if "xml" in kind:
            script = PAGE.replace("<script>", '<script xmlns="http://www.w3.org/1999/xhtml">')
            body = f'<svg xmlns="http://www.w3.org/2000/svg">{script.replace("&", "&amp;")}</svg>'
        bucket.blob(name).upload_from_string(body, content_type=kind)
        addresses += [
            f"{emulator.url}/emulated-bucket/{name}",
            f"{emulator.url}/emulated-bucket/{name}?response-content-type=text/html"
            "&response-content-disposition=inline",
            f"{emulator.url}/download/storage/v1/b/emulated-bucket/o/{name}?alt=media",
            f"{emulator.url}/storage/v1/b/emulated-bucket/o/{name}?alt=media",
        ]
    for address in addresses:
        page = context.new_page()
        stopped = pytest.raises(Error, match=r"Download is starting|ERR_ABORTED")
        with page.expect_download() as saved, stopped:
            page.goto(address)
        assert saved.value.failure() is None
        page.close()
    page = context.new_page()
    page.goto(f"{emulator.url}/emulated-bucket/<script>fetch('/x')</script>")
    assert page.locator("script").count() == 0
    assert not bucket.blob("stolen").exists()
