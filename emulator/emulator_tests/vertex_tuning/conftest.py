"""Google's clients pointed at the emulator, and data sets to tune on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from google import genai
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator, start_emulator

COLOURS = {"grass": "green", "sky": "blue", "blood": "red", "sun": "yellow"}


def genai_client(running: RunningEmulator) -> genai.Client:
    return genai.Client(
        vertexai=True,
        project=running.variables["GOOGLE_CLOUD_PROJECT"],
        location=running.variables["GOOGLE_CLOUD_LOCATION"],
    )


def example(question: str, answer: str, system: str | None = None) -> dict[str, Any]:
    """One line of a supervised tuning data set.

    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-prepare
    """
    line = {
        "contents": [
            {"role": "user", "parts": [{"text": question}]},
            {"role": "model", "parts": [{"text": answer}]},
        ]
    }
    if system is not None:
        line["systemInstruction"] = {"parts": [{"text": system}]}  # type: ignore[assignment]
    return line


def colour_examples(count: int = 40) -> list[dict[str, Any]]:
    pairs = list(COLOURS.items())
    return [
        example(f"What colour has {thing} number {n}?", colour)
        for n in range(count)
        for thing, colour in [pairs[n % len(pairs)]]
    ]


@pytest.fixture(scope="session")
def _emulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator of this folder's own, whose jobs take less time than those of the others."""
    state = tmp_path_factory.mktemp("tuning") / "state"
    running = start_emulator(state, "--tuning-seconds", "0.3")
    yield running
    running.stop()


@pytest.fixture
def client(emulator: RunningEmulator) -> genai.Client:
    return genai_client(emulator)


@pytest.fixture
def upload(emulator: RunningEmulator) -> Callable[..., str]:
    """Writes examples (or raw text) as a JSONL object; gives its URI."""

    def write(examples: Iterable[dict[str, Any]] | str, name: str = "training.jsonl") -> str:
        text = examples if isinstance(examples, str) else "\n".join(map(json.dumps, examples))
        bucket = storage.Client().bucket(emulator.variables["GENAIOPS_BUCKET"])
        blob = bucket.blob(f"tuning-{time.monotonic_ns()}/{name}")
        blob.upload_from_string(text, content_type="application/jsonl")
        return f"gs://{bucket.name}/{blob.name}"

    return write


def wait(client: genai.Client, job: genai.types.TuningJob, seconds: float = 60) -> Any:
    """Poll until the job has ended, as Google's guide does."""
    deadline = time.monotonic() + seconds
    while not job.has_ended:
        assert time.monotonic() < deadline, f"{job.name} is still {job.state}"
        time.sleep(0.05)
        job = client.tunings.get(name=job.name)
    return job


def answer(client: genai.Client, model: str, text: str) -> str | None:
    """The likeliest answer: at the default temperature any answer may be drawn."""
    config = genai.types.GenerateContentConfig(temperature=0)
    return client.models.generate_content(model=model, contents=text, config=config).text


@pytest.fixture
def tune(client: genai.Client, upload: Callable[..., str]) -> Callable[..., genai.types.TuningJob]:
    """Tunes on examples (or raw text) and waits for the end."""

    def run(
        examples: Any = None,
        *,
        base_model: str = "gemini-3.5-flash",
        wait_for_end: bool = True,
        **config: Any,
    ) -> Any:
        uri = upload(colour_examples() if examples is None else examples)
        job = client.tunings.tune(
            base_model=base_model,
            training_dataset=genai.types.TuningDataset(gcs_uri=uri),
            config=genai.types.CreateTuningJobConfig(**config),
        )
        return wait(client, job) if wait_for_end else job

    return run
