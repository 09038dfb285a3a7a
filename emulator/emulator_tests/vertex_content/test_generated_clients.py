"""Google's generated clients over REST: what they send is read, what is answered they parse.

They put enum values and 64-bit integers into JSON in their own way (`$alt=json;enum-encoding=int`).
"""

from __future__ import annotations

import json
import os
import time
import uuid
from typing import Any

import google.auth
import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1, aiplatform_v1beta1, storage

from vertex_emulator.testing import RunningEmulator

from .conftest import LOCATION, MODEL


def rest_client(emulator: Any, module: Any, service: str) -> Any:
    """The client of `service` in `module`, speaking REST with the emulator."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    client = getattr(module, f"{service}Client")
    transport = client.get_transport_class("rest")(
        host=emulator.url.removeprefix("http://"), url_scheme="http", credentials=credentials
    )
    return client(transport=transport)


@pytest.fixture
def model(parent: str) -> str:
    return f"{parent}/publishers/google/models/{MODEL}"


@pytest.mark.parametrize("module", [aiplatform_v1, aiplatform_v1beta1])
def test_generate_content(emulator: RunningEmulator, model: str, module: Any) -> None:
    types = module.types
    service = rest_client(emulator, module, "PredictionService")
    response = service.generate_content(
        types.GenerateContentRequest(
            model=model,
            contents=[types.Content(role="user", parts=[types.Part(text="Describe a teapot.")])],
            system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
            generation_config=types.GenerationConfig(
                temperature=0.0,
                max_output_tokens=512,
                response_mime_type="application/json",
                response_schema=types.Schema(
                    type_=types.Type.OBJECT,
                    properties={
                        "name": types.Schema(type_=types.Type.STRING, max_length=20),
                        "size": types.Schema(type_=types.Type.INTEGER, minimum=1, maximum=3),
                    },
                    required=["name", "size"],
                ),
            ),
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                    threshold=types.SafetySetting.HarmBlockThreshold.BLOCK_ONLY_HIGH,
                )
            ],
            labels={"team": "kitchen"},
        )
    )
    (candidate,) = response.candidates
    assert candidate.finish_reason == types.Candidate.FinishReason.STOP
    assert json.loads(candidate.content.parts[0].text)["size"] in (1, 2, 3)
    assert candidate.safety_ratings[0].category == types.HarmCategory.HARM_CATEGORY_HARASSMENT
    assert response.usage_metadata.total_token_count > 0
    assert response.model_version == f"{MODEL}-emulated"


def test_function_calls_and_responses(emulator: RunningEmulator, model: str) -> None:
    types = aiplatform_v1.types
    service = rest_client(emulator, aiplatform_v1, "PredictionService")
    tool = types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name="get_tide",
                description="Height of the tide",
                parameters=types.Schema(
                    type_=types.Type.OBJECT,
                    properties={"harbour": types.Schema(type_=types.Type.STRING)},
                    required=["harbour"],
                ),
            )
        ]
    )
    question = types.Content(
        role="user", parts=[types.Part(text="How high is the tide in Whitby?")]
    )
    request = types.GenerateContentRequest(model=model, contents=[question], tools=[tool])
    asked = service.generate_content(request).candidates[0].content
    call = asked.parts[0].function_call
    assert (call.name, dict(call.args)) == ("get_tide", {"harbour": "Whitby"})
    answer = types.FunctionResponse(name="get_tide", response={"metres": 3.5})
    request.contents = [
        question,
        asked,
        types.Content(role="user", parts=[types.Part(function_response=answer)]),
    ]
    assert "3.5" in service.generate_content(request).candidates[0].content.parts[0].text


def test_stream_generate_content(emulator: RunningEmulator, model: str) -> None:
    types = aiplatform_v1beta1.types
    service = rest_client(emulator, aiplatform_v1beta1, "PredictionService")
    request = types.GenerateContentRequest(
        model=model,
        contents=[
            types.Content(role="user", parts=[types.Part(text="The sea is deep and blue. " * 9)])
        ],
    )
    chunks = list(service.stream_generate_content(request))
    assert len(chunks) > 1
    assert chunks[-1].candidates[0].finish_reason == types.Candidate.FinishReason.STOP


def test_count_and_compute_tokens(emulator: RunningEmulator, model: str) -> None:
    types = aiplatform_v1.types
    service = rest_client(emulator, aiplatform_v1, "LlmUtilityService")
    contents = [types.Content(role="user", parts=[types.Part(text="Describe a teapot.")])]
    counted = service.count_tokens(
        types.CountTokensRequest(endpoint=model, model=model, contents=contents)
    )
    computed = service.compute_tokens(
        types.ComputeTokensRequest(endpoint=model, model=model, contents=contents)
    )
    assert counted.total_billable_characters == len("Describeateapot.")
    assert len(computed.tokens_info[0].token_ids) == counted.total_tokens


def test_predict_embeddings(emulator: RunningEmulator, parent: str) -> None:
    service = rest_client(emulator, aiplatform_v1, "PredictionService")
    response = service.predict(
        endpoint=f"{parent}/publishers/google/models/text-embedding-005",
        instances=[{"content": "What is life?", "task_type": "RETRIEVAL_QUERY"}],
        parameters={"outputDimensionality": 8},
    )
    assert len(response.predictions[0]["embeddings"]["values"]) == 8


def test_embed_content(emulator: RunningEmulator, parent: str) -> None:
    types = aiplatform_v1beta1.types
    service = rest_client(emulator, aiplatform_v1beta1, "PredictionService")
    response = service.embed_content(
        types.EmbedContentRequest(
            model=f"{parent}/publishers/google/models/gemini-embedding-001",
            content=types.Content(parts=[types.Part(text="What is life?")]),
            task_type=types.EmbedContentRequest.EmbeddingTaskType.CLUSTERING,
            output_dimensionality=8,
        )
    )
    assert len(response.embedding.values) == 8


def test_cached_contents(emulator: RunningEmulator, parent: str, model: str) -> None:
    types = aiplatform_v1beta1.types
    service = rest_client(emulator, aiplatform_v1beta1, "GenAiCacheService")
    text = types.Part(text="The valve is closed before the pump is started. " * 450)
    cache = service.create_cached_content(
        parent=parent,
        cached_content=types.CachedContent(
            model=model,
            contents=[types.Content(role="user", parts=[text])],
            ttl={"seconds": 7200},
        ),
    )
    assert (cache.expire_time - cache.create_time).total_seconds() == 7200
    changed = service.update_cached_content(
        cached_content=types.CachedContent(name=cache.name, ttl={"seconds": 600}),
        update_mask={"paths": ["ttl"]},
    )
    assert changed.expire_time < cache.expire_time
    assert cache.name in [item.name for item in service.list_cached_contents(parent=parent)]
    service.delete_cached_content(name=cache.name)
    with pytest.raises(exceptions.NotFound):
        service.get_cached_content(name=cache.name)


@pytest.mark.parametrize("module", [aiplatform_v1, aiplatform_v1beta1])
def test_batch_prediction_jobs(
    emulator: RunningEmulator, parent: str, bucket: storage.Bucket, module: Any
) -> None:
    types = module.types
    service = rest_client(emulator, module, "JobService")
    source = f"batch/{uuid.uuid4().hex}.jsonl"
    request = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    bucket.blob(source).upload_from_string(json.dumps({"request": request}))
    job = service.create_batch_prediction_job(
        parent=parent,
        batch_prediction_job=types.BatchPredictionJob(
            display_name="generated",
            model=f"publishers/google/models/{MODEL}",
            input_config=types.BatchPredictionJob.InputConfig(
                instances_format="jsonl",
                gcs_source=types.GcsSource(uris=[f"gs://{bucket.name}/{source}"]),
            ),
            output_config=types.BatchPredictionJob.OutputConfig(
                predictions_format="jsonl",
                gcs_destination=types.GcsDestination(output_uri_prefix=f"gs://{bucket.name}/out"),
            ),
        ),
    )
    assert job.state == types.JobState.JOB_STATE_PENDING
    deadline = time.monotonic() + 20
    while job.state != types.JobState.JOB_STATE_SUCCEEDED:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
        job = service.get_batch_prediction_job(name=job.name)
    assert job.completion_stats.successful_count == 1
    listed = service.list_batch_prediction_jobs(parent=parent)
    assert job.name in [item.name for item in listed]
    service.delete_batch_prediction_job(name=job.name).result(timeout=10)
    with pytest.raises(exceptions.NotFound):
        service.get_batch_prediction_job(name=job.name)


def test_errors_are_those_of_the_api(emulator: RunningEmulator, parent: str) -> None:
    types = aiplatform_v1.types
    service = rest_client(emulator, aiplatform_v1, "PredictionService")
    content = types.Content(role="user", parts=[types.Part(text="Hello")])
    with pytest.raises(exceptions.NotFound):
        service.generate_content(
            model=f"{parent}/publishers/google/models/gemini-0.1", contents=[content]
        )
    with pytest.raises(exceptions.BadRequest):
        service.generate_content(
            types.GenerateContentRequest(
                model=f"{parent}/publishers/google/models/{MODEL}",
                contents=[content],
                generation_config=types.GenerationConfig(temperature=9.0),
            )
        )


def test_evals_run_inference(emulator: RunningEmulator) -> None:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/models/run-evaluation
    import agentplatform
    import pandas as pd

    client = agentplatform.Client(
        project=os.environ["GOOGLE_CLOUD_PROJECT"],
        location=LOCATION,
        http_options={"base_url": emulator.url},
    )
    frame = pd.DataFrame({"prompt": ["Describe a teapot.", "Describe a kettle."]})
    result = client.evals.run_inference(model=MODEL, src=frame)
    answers = result.eval_dataset_df["response"]
    assert ["teapot" in answers[0], "kettle" in answers[1]] == [True, True]
