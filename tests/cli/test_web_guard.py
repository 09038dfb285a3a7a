"""The guard of `genaiops dev`: what gets through to Dagster's server, over real connections."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from websockets import Subprotocol
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from genaiops_dagster.cli.ui_address import UiAddress
from genaiops_dagster.cli.web_guard import WebGuard
from tests.cli.guarded import Guarded, guarded

TOKEN = "a-token-that-is-long-enough-to-be-a-secret"
BEARER = ("Authorization", f"Bearer {TOKEN}")


@pytest.fixture(scope="module")
def server() -> Iterator[Guarded]:
    with guarded(TOKEN) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_reached_yet(server: Guarded) -> None:
    server.reached.clear()


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str


def send(
    server: Guarded, method: str, target: str, *headers: tuple[str, str], host: str | None = "own"
) -> Answer:
    """Send exactly these headers, and a `Host` unless that is None."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    if host is not None:
        headers = (("Host", f"127.0.0.1:{server.port}" if host == "own" else host), *headers)
    for name, text in headers:
        connection.putheader(name, text)
    if method == "POST":
        connection.putheader("Content-Length", "0")
    connection.endheaders()
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read().decode())
    connection.close()
    return answer


def cookie(server: Guarded, token: str = TOKEN, port: int = 0) -> tuple[str, str]:
    return "Cookie", f"other=1; genaiops_dev_{port or server.port}={token}"


def test_the_printed_address_lets_a_browser_in(server: Guarded) -> None:
    path = "/assets/python_modules/evaluation_report%2Fpro"
    first = send(server, "GET", f"{path}?view=a%20b&token={TOKEN}&view=c%26d")
    assert first.status == 303
    assert server.reached == []
    assert first.headers["Location"] == f"{server.address.url}{path}?view=a+b&view=c%26d"
    assert first.headers["Cache-Control"] == "no-store"
    assert first.headers["Referrer-Policy"] == "no-referrer"
    pair, *attributes = str(first.headers["Set-Cookie"]).split("; ")
    assert pair == f"genaiops_dev_{server.port}={TOKEN}"
    assert {word.lower() for word in attributes} == {
        *("httponly", "samesite=strict", "path=/", "max-age=2592000")
    }
    assert send(server, "GET", "/assets", ("Cookie", pair)).status == 200
    assert server.reached == ["GET /assets"]
    link = server.address.page("/assets/x").removeprefix(server.address.url)
    assert send(server, "HEAD", link).headers["Location"] == f"{server.address.url}/assets/x"


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/\\evil.example", "///evil.example", "/%2F%2Fevil.example", "/..//evil"],
)
def test_the_way_back_is_on_the_same_server(server: Guarded, path: str) -> None:
    location = str(send(server, "GET", f"{path}?token={TOKEN}").headers["Location"])
    assert location.startswith(f"{server.address.url}/")
    assert "\\" not in location


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("target", ["/", "/graphql", "/server_info", "/_next/static/x.js"])
def test_without_the_token_nothing_is_answered(server: Guarded, method: str, target: str) -> None:
    for headers in (
        [],
        [("Cookie", "genaiops_dev_80=" + TOKEN)],
        [cookie(server, port=server.port + 1)],
        [cookie(server, token="")],
        [cookie(server, token=TOKEN[:-1])],
        [cookie(server, token="\xe9" * len(TOKEN))],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", f"Bearer {TOKEN}x")],
    ):
        answer = send(server, method, target, *headers)
        assert answer.status == 401, headers
        if method != "HEAD":
            assert "genaiops open" in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
    for wrong in ("", "token=", f"token={TOKEN}x", "token=%ff%C3%A9", f"key={TOKEN}"):
        assert send(server, "GET", f"/?{wrong}").status == 401, wrong
    assert send(server, "POST", f"/graphql?token={TOKEN}").status == 401
    assert server.reached == []


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LocalHost"])
def test_names_of_this_machine_are_answered(server: Guarded, name: str) -> None:
    host = f"{name}:{server.port}"
    assert send(server, "POST", "/graphql", BEARER, host=host).status == 200
    own = ("Origin", f"http://{host.lower()}")
    assert send(server, "POST", "/graphql", BEARER, own, host=host).status == 200


def test_other_hosts_are_refused_with_the_token_too(server: Guarded) -> None:
    own = f"127.0.0.1:{server.port}"
    for host in (
        f"rebound.example:{server.port}",
        f"127.0.0.1.evil.example:{server.port}",
        f"evil.example@127.0.0.1:{server.port}",
        f"127.0.0.1:{server.port}@evil.example",
        f"127.0.0.1:{server.port + 1}",
        f"127.0.0.1:0{server.port}",
        "127.0.0.1",
        "localhost",
        f"127.1:{server.port}",
        f"2130706433:{server.port}",
        f"127.0.0.1.:{server.port}",
        f"[::ffff:127.0.0.1]:{server.port}",
        f"{own}, {own}",
        f"{own}/",
        "",
        None,
    ):
        assert send(server, "POST", "/graphql", BEARER, host=host).status == 403, host
    for second in (own, "evil.example"):
        assert send(server, "POST", "/graphql", BEARER, ("Host", second)).status == 403
    assert server.reached == []


def test_old_http_without_a_host_is_refused(server: Guarded) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        request = f"POST /graphql HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 403")
    assert server.reached == []


def foreign_headers(server: Guarded) -> list[list[tuple[str, str]]]:
    """What browsers send for pages that are not the UI's own."""
    own = f"http://127.0.0.1:{server.port}"
    return [
        [("Origin", "https://evil.example")],
        [("Origin", "null")],
        [("Origin", "")],
        [("Origin", "http://127.0.0.1")],
        [("Origin", f"http://127.0.0.1:{server.port + 1}")],
        [("Origin", f"https://127.0.0.1:{server.port}")],
        [("Origin", f"http://localhost:{server.port}")],
        [("Origin", f"{own}/")],
        [("Origin", own), ("Origin", "https://evil.example")],
        [("Origin", own), ("Origin", own)],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "")],
        [("Origin", own), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
    ]


def test_pages_of_other_origins_are_refused_with_the_cookie_too(server: Guarded) -> None:
    for headers in foreign_headers(server):
        for method, target in (("POST", "/graphql"), ("GET", "/"), ("GET", f"/?token={TOKEN}")):
            answer = send(server, method, target, cookie(server), *headers)
            assert answer.status == 403, headers
            assert answer.headers["Set-Cookie"] is None
    assert server.reached == []


def test_the_own_pages_requests_pass(server: Guarded) -> None:
    own = ("Origin", f"http://127.0.0.1:{server.port}")
    site = ("Sec-Fetch-Site", "same-origin")
    assert send(server, "POST", "/graphql", cookie(server), own, site).status == 200
    page = send(server, "GET", "/runs", cookie(server), ("Sec-Fetch-Site", "none"))
    assert page.status == 200
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Content-Security-Policy"] == "object-src 'none'"
    assert server.reached == ["POST /graphql", "GET /runs"]


@pytest.mark.parametrize(
    "path",
    ["/graphql", "/%67raphql", "/graphql%0A", "/prefix/graphql", "/prefix/graphql%0a"],
)
def test_graphql_is_not_executed_by_get(server: Guarded, path: str) -> None:
    for query in ("query=mutation{launchRun}", "a=1&%71uery=mutation", "query=", "query"):
        for method in ("GET", "HEAD"):
            answer = send(server, method, f"{path}?{query}", cookie(server))
            assert answer.status == 405, (path, query)
    assert server.reached == []


def test_the_graphql_page_opens(server: Guarded) -> None:
    accept = ("Accept", "text/html,*/*")
    assert send(server, "GET", "/graphql", cookie(server), accept).status == 200
    assert send(server, "GET", "/runs?query=x", cookie(server)).status == 200
    assert server.reached == ["GET /graphql", "GET /runs"]


def open_socket(server: Guarded, *headers: tuple[str, str], host: str = "127.0.0.1") -> str:
    """The first message of a WebSocket.

    Raises:
        InvalidStatus: it was refused before it opened.
    """
    url = f"ws://{host}:{server.port}/graphql?token={TOKEN}"
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    with connect(
        url,
        sock=raw,
        subprotocols=[Subprotocol("graphql-ws")],
        additional_headers=list(headers),
        proxy=None,
    ) as opened:
        return str(opened.recv(timeout=20))


def test_websockets_open_for_the_own_pages_and_scripts(server: Guarded) -> None:
    own = ("Origin", f"http://127.0.0.1:{server.port}")
    assert open_socket(server, own, cookie(server)) == "data"
    assert open_socket(server, BEARER) == "data"
    assert server.reached == ["websocket"] * 2


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server logs, which does not reach the root logger."""
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_websockets_of_others_are_refused_before_they_open(
    server: Guarded, logged: pytest.LogCaptureFixture
) -> None:
    own = ("Origin", f"http://127.0.0.1:{server.port}")
    for headers in ([], [own], [own, cookie(server, token=TOKEN[:-1])]):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(server, *headers)
        assert refused.value.response.status_code == 403
    for headers in foreign_headers(server):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(server, cookie(server), *headers)
        several = len(headers) > 1 and headers[0][0] == headers[1][0] == "Origin"
        assert refused.value.response.status_code == (400 if several else 403), headers
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, BEARER, host="rebound.example")
    assert refused.value.response.status_code == 403
    assert server.reached == []
    assert logged.messages == [], "every page that tries would write to the terminal"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ticket(server: Guarded, *headers: tuple[str, str]) -> str:
    answer = send(server, "POST", "/genaiops/ticket", *headers)
    assert answer.status == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.text


def test_a_ticket_lets_one_browser_in_once(server: Guarded) -> None:
    given = ticket(server, BEARER)
    assert TOKEN not in given
    assert len(given) == 43
    assert ticket(server, BEARER) != given
    for wrong in (given[:-1], f"{given}x", "", "%ff"):
        assert send(server, "GET", f"/?ticket={wrong}").status == 401
    assert send(server, "HEAD", f"/?ticket={given}").status == 401
    assert send(server, "POST", f"/graphql?ticket={given}").status == 401
    assert send(server, "GET", f"/?token={given}").status == 401
    assert send(server, "GET", "/", ("Authorization", f"Bearer {given}")).status == 401
    assert send(server, "GET", "/", cookie(server, given)).status == 401
    page = f"/assets/x?view=a&ticket={given}"
    for headers in foreign_headers(server):
        assert send(server, "GET", page, *headers).status == 403
    first = send(server, "GET", page, ("Sec-Fetch-Site", "none"))
    assert first.status == 303
    assert first.headers["Location"] == f"{server.address.url}/assets/x?view=a"
    assert str(first.headers["Set-Cookie"]).startswith(f"genaiops_dev_{server.port}={TOKEN}; ")
    second = send(server, "GET", page)
    assert second.status == 401
    assert second.headers["Set-Cookie"] is None
    assert "another user of this machine" in second.text
    assert server.reached == []


def test_a_ticket_ends_after_a_minute() -> None:
    clock = Clock()
    with guarded(TOKEN, clock) as server:
        early, late = ticket(server, BEARER), ticket(server, BEARER)
        clock.now += 59
        assert send(server, "GET", f"/?ticket={early}").status == 303
        clock.now += 1
        assert send(server, "GET", f"/?ticket={late}").status == 401
        another = ticket(server, BEARER)
        assert send(server, "GET", f"/?ticket={another}").status == 303


def test_only_who_sends_the_token_itself_gets_a_ticket(server: Guarded) -> None:
    at = "/genaiops/ticket"
    own = ("Origin", f"http://127.0.0.1:{server.port}")
    for headers in ([], [cookie(server)], [own, cookie(server)], [("Authorization", "Bearer x")]):
        assert send(server, "POST", at, *headers).status == 401
    assert send(server, "POST", f"{at}?token={TOKEN}").status == 401
    for headers in foreign_headers(server):
        assert send(server, "POST", at, BEARER, *headers).status == 403
    assert send(server, "GET", at, BEARER).status == 405
    assert send(server, "GET", f"{at}?token={TOKEN}").status == 405
    assert server.reached == []


def test_a_server_proves_that_it_holds_the_token(server: Guarded) -> None:
    assert server.address.answers()
    assert not UiAddress(server.address.url, TOKEN + "x").answers()
    asked = send(server, "GET", "/genaiops/proof?challenge=x", ("Sec-Fetch-Site", "cross-site"))
    assert asked.status == 403
    assert TOKEN not in send(server, "GET", "/genaiops/proof").text
    with guarded(TOKEN) as another:  # what it proves does not prove anything for this port
        at = "/genaiops/proof?challenge=x"
        answers = [send(where, "GET", at).text for where in (server, another)]
        assert len(set(answers)) == 2


def test_an_empty_token_lets_nobody_in() -> None:
    async def unreached(*_: Any) -> None:
        pass

    for token in ("", "short"):
        with pytest.raises(ValueError, match="too short to be a secret"):
            WebGuard(unreached, token, 3000)
