"""Google's BigQuery client against the emulator."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from vertex_emulator.testing import RunningEmulator

_clients: dict[str, bigquery.Client] = {}


@pytest.fixture
def client(emulator: RunningEmulator) -> bigquery.Client:
    """A client made from the environment variables alone, once for all tests."""
    if emulator.url not in _clients:
        _clients[emulator.url] = bigquery.Client()
    return _clients[emulator.url]


@pytest.fixture
def dataset(client: bigquery.Client) -> Iterator[str]:
    """A dataset of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    client.create_dataset(name)
    yield name
    client.delete_dataset(name, delete_contents=True, not_found_ok=True)


@pytest.fixture
def rows(client: bigquery.Client) -> Callable[..., list[tuple[Any, ...]]]:
    """Rows of a query, as tuples."""

    def run(sql: str, *parameters: Any, **settings: Any) -> list[tuple[Any, ...]]:
        config = bigquery.QueryJobConfig(query_parameters=list(parameters), **settings)
        return [row.values() for row in client.query_and_wait(sql, job_config=config)]

    return run


@pytest.fixture
def value(rows: Callable[..., list[tuple[Any, ...]]]) -> Callable[..., Any]:
    """The value of an expression."""

    def run(expression: str, *parameters: Any) -> Any:
        return rows(f"SELECT {expression}", *parameters)[0][0]

    return run
