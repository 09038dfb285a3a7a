"""Google's clients against a running emulator, a bucket for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest
import requests
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator

# gcsfs reads this when it is imported, which is before any fixture sets the emulator's variables.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

_numbers = itertools.count()


@pytest.fixture
def client(emulator: RunningEmulator) -> storage.Client:
    return storage.Client()


@pytest.fixture
def new_bucket(client: storage.Client) -> Callable[..., storage.Bucket]:
    """Makes buckets with names that no other test has."""

    def create(**properties: object) -> storage.Bucket:
        bucket = client.bucket(f"test-{os.getpid()}-{next(_numbers)}")
        for name, value in properties.items():
            setattr(bucket, name, value)
        return client.create_bucket(bucket)

    return create


@pytest.fixture
def bucket(new_bucket: Callable[..., storage.Bucket]) -> storage.Bucket:
    return new_bucket()


@pytest.fixture
def versioned(new_bucket: Callable[..., storage.Bucket]) -> storage.Bucket:
    return new_bucket(versioning_enabled=True)


@pytest.fixture
def http(emulator: RunningEmulator) -> requests.Session:
    """Plain HTTP, for what Google's client does not say."""
    return requests.Session()
