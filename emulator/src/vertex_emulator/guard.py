"""Protects the emulator, which is open to every program on this machine, from web pages.

A browser sends requests for any page that is open in it, and marks them with `Host` (a page may
bind its own name to this machine), `Origin` and `Sec-Fetch-Site`. Google's clients send neither
of the last two. What is stored here is data and not a page, whatever type it declares.

https://www.w3.org/TR/fetch-metadata/
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy/sandbox
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vertex_emulator.access import Access
from vertex_emulator.errors import ApiError

OWN_PATHS = "/emulator/"
"""Where everything is that is about the emulator itself; it asks for the token."""

PROOF_PATH = f"{OWN_PATHS}proof"
"""Where the emulator proves that it holds the token; the only one that does not ask for it."""

_LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_OWN_SITES = {"same-origin", "none"}
_ANSWER_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """Refuses requests from pages of another origin, and calls of `/emulator/` without the token.

    Args:
        app: Answers all other requests.
        access: Knows the token.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 or 401, or pass the request on and keep browsers from running its answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_as_data(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_ANSWER_HEADERS]}
            await send(message)

        app: ASGIApp = self._app
        headers = Headers(scope=scope)
        try:
            refuse_foreign(scope["scheme"], headers)
            if scope["path"].startswith(OWN_PATHS) and scope["path"] != PROOF_PATH:
                self._access.require(headers)
        except ApiError as error:
            app = error.response()
        await app(scope, receive, send_as_data)


def refuse_foreign(scheme: str, headers: Headers) -> None:
    """Let a request pass if no page of another origin can have caused it.

    Args:
        scheme: `http` or `https`, as the request came.
        headers: Of the request.

    Raises:
        ApiError: 403 if the request is for another host, or says that it comes from another origin.
    """
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0]):
        named = ", ".join(repr(host[:80]) for host in hosts) or "no host at all"
        raise ApiError(403, f"The emulator answers on loopback only, not as {named}.")
    own = f"{scheme}://{hosts[0]}".lower()
    foreign = [origin for origin in headers.getlist("origin") if origin.lower() != own]
    sites = [site for site in headers.getlist("sec-fetch-site") if site not in _OWN_SITES]
    if foreign or sites:
        raise ApiError(
            403,
            "The emulator answers no web page of another origin: the browser sent"
            f" {', '.join(repr(value[:80]) for value in [*foreign, *sites])} as Origin or"
            " Sec-Fetch-Site. Open its address in a tab of its own, or use a client library.",
        )
