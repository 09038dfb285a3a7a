"""Protects the Dagster UI that `genaiops dev` serves.

Dagster's web server knows no login, answers any `Host` and `Origin`, and takes GraphQL mutations by
GET: without a guard, every page that is open in a browser on this machine can launch runs. Browsers
say for which page they send a request, in `Host`, `Origin` and `Sec-Fetch-Site`; a token says the
rest.

https://www.w3.org/TR/fetch-metadata/
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#samesitesamesite-value
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROOF_PATH = "/genaiops/proof"
"""Where a server proves that it holds the token; the only path that does not ask for it."""
TICKET_PATH = "/genaiops/ticket"
"""Where who holds the token gets a ticket: `?ticket=` lets one browser in, once."""
TOKEN_CHARACTERS = 32
"""Least length of a token."""

_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_OWN_SITES = ("same-origin", "none")
_COOKIE_SECONDS = 30 * 24 * 3600
_TICKET_SECONDS = 60
_POLICY_VIOLATION = 1008  # of the codes with which a WebSocket is closed
_OWN_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_NOT_LET_IN = """\
This browser or script has not shown the token of this Dagster UI.

In a browser, open the address that `genaiops dev` printed, or run `genaiops open`.
A script sends the header `Authorization: Bearer TOKEN`, with the content of the file dev_token
in the folder that `genaiops dev` works in.
"""
_TICKET_IS_GONE = """\
A link of `genaiops open` lets a browser in once, within a minute. Run `genaiops open` again.

If neither you nor your browser opened this link in that minute, another user of this machine may
have: delete the file dev_token of the folder that `genaiops dev` works in, and start it again.
"""
_TICKETS_BY_POST = "A ticket is given by POST only.\n"
_NO_QUERY_BY_GET = """\
GraphQL is executed by POST only, because a link or an image is enough for a GET.
Send the query as JSON: {"query": "..."}.
"""
_FOREIGN_PAGE = """\
A page of another site caused this request, so it is refused.

If you followed a link: copy its address into a new tab.
"""
_FOREIGN_HOST = """\
This Dagster UI answers as http://127.0.0.1:{port} and http://localhost:{port} only.

Through a tunnel, use the same port on both ends: ssh -L {port}:127.0.0.1:{port} HOST
Behind a proxy that checks who comes in, serve the project with `dagster dev`.
"""


def proof(token: str, port: int, challenge: str) -> str:
    """The answer to `challenge` that only a server with `token`, on `port`, can give.

    A client asks for it before it sends the token to a port: another user's server may have taken
    the port. The port is part of it, so that such a server cannot pass on another one's answer.
    """
    return hmac.new(token.encode(), f"{port} {challenge}".encode(), hashlib.sha256).hexdigest()


class WebGuard:
    """Lets pass what the UI's own pages and holders of the token send, and nothing else.

    A request needs a loopback `Host` with the served port, no other page's `Origin` or
    `Sec-Fetch-Site`, and the token: as a cookie, or as `Authorization: Bearer`. A GET of any path
    with `?token=` sets the cookie, as does one with `?ticket=`, once for each ticket. GraphQL is
    executed by POST and WebSocket only.

    Args:
        app: Dagster's web server.
        token: The secret that lets a browser or a script in.
        port: Port that `app` is served on.
        clock: Seconds, by which tickets end.

    Raises:
        ValueError: `token` is too short to be a secret.
    """

    def __init__(
        self, app: ASGIApp, token: str, port: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if len(token) < TOKEN_CHARACTERS:
            raise ValueError(f"a token of {len(token)} characters is too short to be a secret")
        self._app = app
        self._token = token
        self._port = port
        self._cookie = f"genaiops_dev_{port}"  # browsers share cookies between ports
        self._hosts = {f"{name}:{port}" for name in _LOOPBACK_HOSTS}
        if port == 80:
            self._hosts.update(_LOOPBACK_HOSTS)
        self._clock = clock
        self._tickets: dict[str, float] = {}  # until when each is good

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it: a refusal, the cookie, a proof."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Frame-Options"] = "SAMEORIGIN"  # the UI shows notebooks in a frame
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        own_answer = self._own_answer(HTTPConnection(scope))
        if own_answer is None:
            await self._app(scope, receive, send_protected)
        elif scope["type"] == "websocket":
            await receive()  # its request to be accepted; servers answer the close with status 403
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await own_answer(scope, receive, send)

    def _own_answer(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that does not reach Dagster; None if it does."""
        foreign = self._foreign(request.headers)
        if foreign:
            return _answer(403, foreign)
        if request.scope["path"] == PROOF_PATH:
            return _answer(
                200, proof(self._token, self._port, request.query_params.get("challenge", ""))
            )
        method = request.scope.get("method", "WebSocket")
        if request.scope["path"] == TICKET_PATH:
            return self._ticket_answer(request, method)
        tokens, tickets = map(request.query_params.getlist, ("token", "ticket"))
        if method in ("GET", "HEAD") and any(map(self._is_token, tokens)):
            return self._logged_in(request)
        if method == "GET" and any(map(self._burn, tickets)):
            return self._logged_in(request)
        if not (self._has_cookie(request) or self._has_bearer(request)):
            return _not_let_in(_TICKET_IS_GONE if tickets else _NOT_LET_IN)
        if method in ("GET", "HEAD") and _asks_graphql(request):
            return _answer(405, _NO_QUERY_BY_GET, {"Allow": "POST"})
        return None

    def _foreign(self, headers: Headers) -> str | None:
        """Why the request is for another server, or from another one's page; None if neither."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return _FOREIGN_HOST.format(port=self._port)
        origins = headers.getlist("origin")
        sites = headers.getlist("sec-fetch-site")
        if origins not in ([], [f"http://{hosts[0].lower()}"]) or set(sites) - set(_OWN_SITES):
            return _FOREIGN_PAGE
        return None

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    def _has_bearer(self, request: HTTPConnection) -> bool:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(credentials.strip())

    def _has_cookie(self, request: HTTPConnection) -> bool:
        return self._is_token(request.cookies.get(self._cookie, ""))

    def _ticket_answer(self, request: HTTPConnection, method: str) -> Response:
        """A new ticket, for who sends the token itself; a cookie is sent for pages, too."""
        if method != "POST":
            return _answer(405, _TICKETS_BY_POST, {"Allow": "POST"})
        if not self._has_bearer(request):
            return _not_let_in(_NOT_LET_IN)
        now = self._clock()
        self._tickets = {ticket: end for ticket, end in self._tickets.items() if end > now}
        ticket = secrets.token_urlsafe()
        self._tickets[ticket] = now + _TICKET_SECONDS
        return _answer(200, ticket)

    def _burn(self, ticket: str) -> bool:
        """Whether the ticket was still good; it is not any more."""
        end = self._tickets.pop(ticket, None)
        return end is not None and end > self._clock()

    def _logged_in(self, request: HTTPConnection) -> Response:
        """Set the cookie and go on to the same address without the secret, which shows nowhere.

        The address is whole, with the host that was checked: a path such as `//evil.example` would
        name another host.
        """
        path = quote(request.scope.get("raw_path") or request.scope["path"], safe="/%:@!$&'()*+,;=")
        given = request.query_params.multi_items()
        query = [(key, text) for key, text in given if key not in ("token", "ticket")]
        address = f"http://{request.headers['host']}/{path.removeprefix('/')}"
        response = RedirectResponse(
            f"{address}?{urlencode(query)}" if query else address, 303, _OWN_HEADERS
        )
        response.set_cookie(
            self._cookie, self._token, max_age=_COOKIE_SECONDS, httponly=True, samesite="strict"
        )
        return response


def _asks_graphql(request: HTTPConnection) -> bool:
    """Whether the address holds a query that Dagster would execute."""
    path = request.scope["path"].rstrip()  # Starlette's routes match a path with a line end too
    return path.endswith("/graphql") and "query" in request.query_params


def _not_let_in(text: str) -> Response:
    return _answer(401, text, {"WWW-Authenticate": "Bearer"})


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status, {**_OWN_HEADERS, **(headers or {})})
