"""A page of another origin changes nothing in `genaiops dev`, and its own user can use it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, Response

from tests.browser import attacks
from tests.browser.conftest import Site
from tests.integration.dev import served
from tests.integration.test_dev import ask, parts
from vertex_emulator.testing import GOOGLE_VARIABLES

pytestmark = pytest.mark.slow

CHANGE = 'mutation { setConcurrencyLimit(concurrencyKey: "stolen", limit: 3) }'
LIMITS = "query { instance { concurrencyLimits { concurrencyKey } } }"
START = json.dumps({"type": "start", "id": "1", "payload": {"query": CHANGE}})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `genaiops dev` prints."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(GOOGLE_VARIABLES)}
    variables.pop("DAGSTER_HOME", None)
    with served(tmp_path_factory.mktemp("dev"), variables) as (printed, _):
        yield printed


def limits(address: str) -> set[str]:
    """What a change adds to; asked as a script asks, with the token."""
    found = ask(address, LIMITS)["instance"]["concurrencyLimits"]
    return {limit["concurrencyKey"] for limit in found}


def attack(page: Page, url: str) -> None:
    """All that a page can send to a Dagster server at `url`."""
    by_get = f"{url}/graphql?query={quote(CHANGE)}"
    body = json.dumps({"query": CHANGE})
    attacks.image(page, by_get)
    attacks.frame(page, by_get)
    attacks.frame(page, f"{url}/")
    attacks.fetch(page, by_get)
    attacks.fetch(page, by_get, "HEAD")
    # Dagster looks for `application/json` anywhere in the type; a browser looks at its beginning.
    attacks.fetch(page, f"{url}/graphql", "POST", body, "text/plain;x=application/json")
    attacks.fetch(page, f"{url}/graphql", "POST", CHANGE, "text/plain;x=application/graphql")
    attacks.fetch(page, f"{url}/report_asset_materialization/stolen", "POST", "{}", "text/plain")
    attacks.form(page, f"{url}/graphql", {"query": CHANGE}, "application/x-www-form-urlencoded")
    attacks.form(page, f"{url}/graphql", {body[:-1] + ', "x": "': '"}'}, "text/plain")
    attacks.form(page, by_get, {}, "multipart/form-data")
    assert not attacks.fetch_with_preflight(
        page, f"{url}/graphql", "POST", {"Content-Type": "application/json"}
    )
    attacks.socket(page, f"{url.replace('http', 'ws')}/graphql", START)
    attacks.navigate(page, by_get)


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1"])
@pytest.mark.parametrize("is_logged_in", [True, False])
def test_a_page_of_another_origin_changes_nothing(
    address: str,
    context: BrowserContext,
    new_site: Callable[[], Site],
    host: str,
    is_logged_in: bool,
) -> None:
    url, _ = parts(address)
    if is_logged_in:
        context.new_page().goto(address)
    site, victim = new_site(), new_site()
    attack(site.open(context, host), url)
    attack(site.open(context, host), url.replace("127.0.0.1", "localhost"))
    assert "stolen" not in limits(address)
    # The same attacks reach a server without a guard.
    attack(site.open(context, host), f"http://127.0.0.1:{victim.port}")
    assert {"GET /graphql?query=" + quote(CHANGE), "POST /graphql"} <= set(victim.asked)


def test_a_rebound_name_changes_nothing(address: str, context: BrowserContext) -> None:
    """The page's own name leads to this machine now, so the browser takes it for one origin."""
    url, token = parts(address)
    origin = f"http://rebound.example:{url.rpartition(':')[2]}"
    page = context.new_page()
    page.route(f"{origin}/", lambda route: route.fulfill(body="<p>", content_type="text/html"))
    page.goto(f"{origin}/")
    body = json.dumps({"query": CHANGE})
    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        status = page.evaluate(
            """([body, headers]) => fetch('/graphql', {method: 'POST', body,
                headers: {'Content-Type': 'application/json', ...headers}}).then(a => a.status)""",
            [body, headers],
        )
        assert status == 403
    assert not attacks.socket(page, f"{origin.replace('http', 'ws')}/graphql", START)
    assert "stolen" not in limits(address)


def test_its_own_user_browses_and_changes(address: str, context: BrowserContext) -> None:
    url, token = parts(address)
    page = context.new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address)
    page.goto(f"{url}/assets/python_modules/training_set")
    page.get_by_text("What the model is tuned on.").wait_for()
    changed = page.evaluate(
        """query => fetch('/graphql', {method: 'POST', body: JSON.stringify({query}),
            headers: {'Content-Type': 'application/json'}}).then(answer => answer.json())""",
        CHANGE.replace("stolen", "own"),
    )
    assert changed == {"data": {"setConcurrencyLimit": True}}
    assert "own" in limits(address)
    assert attacks.socket(page, f"{url.replace('http', 'ws')}/graphql", START)
    assert [answer.url for answer in answers if answer.status >= 400] == []
    assert [answer.url for answer in answers if token in answer.url] == [address]
