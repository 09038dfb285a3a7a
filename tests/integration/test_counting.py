"""Counting tokens over the emulator."""

from __future__ import annotations

import pytest

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.tokens import api_counter, user_message
from vertex_emulator.testing import RunningEmulator


@pytest.mark.parametrize("model", ["gemini-3.5-flash-lite", "gemini-3.5-flash"])
def test_an_example_that_ends_with_the_models_turn_is_counted_whole(
    emulator: RunningEmulator, model: str
) -> None:
    count = api_counter(VertexAI(GoogleCloudSettings.from_environment()), model)
    question = user_message("Which colour is the sky?")
    answer = {"role": "model", "parts": [{"text": "light blue"}]}
    assert count([question, answer]) == count([question]) + count([user_message("light blue")])
    assert count([answer]) == count([user_message("light blue")])
