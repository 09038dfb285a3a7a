"""How requests to this machine get there where a proxy is set."""

from __future__ import annotations

import os

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def proxy_exceptions() -> dict[str, str]:
    """Variables that keep HTTP clients from sending requests to this machine through a proxy.

    A client reads one spelling of the name or the other; the exceptions that are set stay in force.
    The emulator sets the same for the clients that it serves.
    """
    present = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if present.strip() == "*":  # no request at all; among other names the star means nothing
        return dict.fromkeys(("no_proxy", "NO_PROXY"), "*")
    names = [name.strip() for name in present.split(",") if name.strip()]
    names += [name for name in _LOOPBACK_NAMES if name not in names]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(names))
