"""Google's evaluation clients pointed at the emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import google.auth
import pytest
from google.cloud import aiplatform_v1beta1 as api
from google.cloud.aiplatform_v1beta1.services.evaluation_service.transports import (
    EvaluationServiceRestTransport,
)

from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def location(emulator: RunningEmulator) -> str:
    variables = emulator.variables
    return (
        f"projects/{variables['GOOGLE_CLOUD_PROJECT']}"
        f"/locations/{variables['GOOGLE_CLOUD_LOCATION']}"
    )


@pytest.fixture
def service(emulator: RunningEmulator) -> api.EvaluationServiceClient:
    credentials, _ = google.auth.default()
    host = emulator.url.removeprefix("http://")
    transport = EvaluationServiceRestTransport(
        host=host, url_scheme="http", credentials=credentials
    )
    return api.EvaluationServiceClient(transport=transport)


@pytest.fixture
def evaluate(
    service: api.EvaluationServiceClient, location: str
) -> Callable[..., api.EvaluateInstancesResponse]:
    """Sends one `evaluateInstances` request with the given input or metrics."""

    def run(**fields: Any) -> Any:
        return service.evaluate_instances(api.EvaluateInstancesRequest(location=location, **fields))

    return run
