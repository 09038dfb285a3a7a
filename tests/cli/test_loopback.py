"""Requests to this machine go past a proxy."""

from __future__ import annotations

import pytest

from genaiops_dagster.cli.loopback import proxy_exceptions


@pytest.mark.parametrize(
    ("set_", "told"),
    [
        ("", "127.0.0.1,localhost,::1"),
        ("a.example, localhost", "a.example,localhost,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
def test_exceptions_of_proxies_stay(monkeypatch: pytest.MonkeyPatch, set_: str, told: str) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", set_)
    assert proxy_exceptions() == {"no_proxy": told, "NO_PROXY": told}
