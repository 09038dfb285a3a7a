"""The names of this machine's own addresses, and how to reach them where a proxy is set."""

from __future__ import annotations

import os

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def proxy_exceptions() -> dict[str, str]:
    """Variables that keep HTTP clients from sending requests to this machine through a proxy.

    A client reads one spelling of the name or the other; the exceptions that are set stay in force.
    It also spares `requests`, and with it Google's clients, a search of the whole environment for
    every request.
    """
    present = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if present.strip() == "*":  # no request at all; among other names the star means nothing
        return dict.fromkeys(("no_proxy", "NO_PROXY"), "*")
    names = [name.strip() for name in present.split(",") if name.strip()]
    names += [name for name in LOOPBACK_NAMES if name not in names]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(names))
