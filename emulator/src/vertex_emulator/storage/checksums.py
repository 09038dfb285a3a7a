"""Checksums that a client sends along with its bytes.

https://docs.cloud.google.com/storage/docs/data-validation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.contents import Content

# Base64 checksums by algorithm: `crc32c`, `md5`.
Checksums = Mapping[str, str]


def expected_checksums(
    headers: Mapping[str, str], resource: Mapping[str, Any] | None = None
) -> Checksums:
    """The checksums in `X-Goog-Hash` and `Content-MD5` headers and an object resource."""
    resource = resource or {}
    expected = {
        "crc32c": resource.get("crc32c"),
        "md5": headers.get("content-md5") or resource.get("md5Hash"),
    }
    for item in headers.get("x-goog-hash", "").split(","):
        algorithm, _, value = item.strip().partition("=")
        if algorithm in expected:
            expected[algorithm] = value
    return {name: str(value) for name, value in expected.items() if value}


def verify_checksums(content: Content, *expected: Checksums) -> None:
    """Compare the bytes that came with the checksums that the client sent.

    Raises:
        ApiError: 400 if they differ.
    """
    found = {"crc32c": content.crc32c, "md5": content.md5}
    for checksums in expected:
        for algorithm, value in checksums.items():
            if value != found[algorithm]:
                raise ApiError(
                    400,
                    f'Provided {algorithm.upper()} hash "{value}" doesn\'t match calculated'
                    f' {algorithm.upper()} hash "{found[algorithm]}".',
                )
