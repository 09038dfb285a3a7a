"""The fidelity page names what is served: every function on it is known to the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

PAGE = Path(__file__).parents[3] / "emulator" / "docs" / "bigquery.md"


def _listed() -> list[str]:
    section = PAGE.read_text().partition("### Functions")[2].partition("`CAST`")[0]
    return sorted(set(re.findall(r"`([A-Z0-9_]+)`", section)) - {"EXTRACT"})


def test_every_listed_function_is_known(client: bigquery.Client) -> None:
    listed = _listed()
    assert len(listed) > 180
    for name in listed:
        for over in ("", " OVER ()"):
            try:
                client.query_and_wait(f"SELECT {name}(){over}")
            except BadRequest as error:
                message = str(error)
            else:
                break
            if f"does not serve the function {name} " not in message:
                break
        else:
            pytest.fail(f"{name} is on the page but refused")
