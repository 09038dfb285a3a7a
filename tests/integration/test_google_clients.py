"""A script that knows nothing of this package, with nothing but the printed variables set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vertex_emulator.testing import GOOGLE_VARIABLES, RunningEmulator

SCRIPT = """
import json, os, time

import google.auth
from google import genai
from google.api_core.exceptions import PreconditionFailed
from google.cloud import aiplatform_v1beta1 as aiplatform
from google.cloud import bigquery, storage
from google.genai import types

# Cloud Storage, with preconditions
bucket = storage.Client().bucket(os.environ["GENAIOPS_BUCKET"])
training = bucket.blob("outsider/training.jsonl")
lines = [
    {"contents": [
        {"role": "user", "parts": [{"text": f"Colour number {n}: {word}?"}]},
        {"role": "model", "parts": [{"text": word[::-1]}]},
    ]}
    for n, word in enumerate(["red", "green", "blue", "black"] * 10)
]
training.upload_from_string("\\n".join(map(json.dumps, lines)), if_generation_match=0)
try:
    training.upload_from_string("again", if_generation_match=0)
    raise SystemExit("a second write with if_generation_match=0 was accepted")
except PreconditionFailed:
    pass
assert len(bucket.blob("outsider/training.jsonl").download_as_text().splitlines()) == 40

# BigQuery
client = bigquery.Client()
client.create_dataset("outsider", exists_ok=True)
client.load_table_from_json(
    [{"name": "a", "score": 0.5}, {"name": "b", "score": 1.5}], "outsider.scores"
).result()
parameter = bigquery.ScalarQueryParameter("least", "FLOAT64", 1.0)
rows = client.query(
    "SELECT name FROM outsider.scores WHERE score >= @least",
    job_config=bigquery.QueryJobConfig(query_parameters=[parameter]),
).result()
assert [row.name for row in rows] == ["b"]

# Gemini: content, tokens, tuning
gemini = genai.Client()
served = genai.Client(location="global")
answer = served.models.generate_content(model="gemini-3.5-flash", contents="Say something.")
assert answer.text and answer.model_version.endswith("-emulated")
counted = served.models.count_tokens(model="gemini-3.5-flash", contents="Say something.")
assert counted.total_tokens == answer.usage_metadata.prompt_token_count
job = gemini.tunings.tune(
    base_model="gemini-3.5-flash-lite",
    training_dataset=types.TuningDataset(gcs_uri=f"gs://{bucket.name}/{training.name}"),
    config=types.CreateTuningJobConfig(tuned_model_display_name="outsider", epoch_count=4),
)
while not job.has_ended:
    time.sleep(0.2)
    job = gemini.tunings.get(name=job.name)
assert job.has_succeeded, job.error
learned = gemini.models.generate_content(
    model=job.tuned_model.endpoint,
    contents="Colour number 1: green?",
    config=types.GenerateContentConfig(temperature=0),
)
assert learned.text == "neerg", learned.text

# Generated clients, over REST
scheme, _, host = os.environ["GOOGLE_VERTEX_BASE_URL"].partition("://")
credentials, project = google.auth.default(
    scopes=["https://www.googleapis.com/auth/cloud-platform"]
)
parent = f"projects/{project}/locations/{os.environ['GOOGLE_CLOUD_LOCATION']}"


def over_rest(service, client):
    module = getattr(aiplatform.services, service).transports
    transport = getattr(module, f"{client.__name__.removesuffix('Client')}RestTransport")
    return client(transport=transport(host=host, url_scheme=scheme, credentials=credentials))


evaluation = over_rest("evaluation_service", aiplatform.EvaluationServiceClient)
scored = evaluation.evaluate_instances(
    aiplatform.EvaluateInstancesRequest(
        location=parent,
        exact_match_input=aiplatform.ExactMatchInput(
            metric_spec=aiplatform.ExactMatchSpec(),
            instances=[
                aiplatform.ExactMatchInstance(prediction="neerg", reference="neerg"),
                aiplatform.ExactMatchInstance(prediction="green", reference="neerg"),
            ],
        ),
    )
)
values = [value.score for value in scored.exact_match_results.exact_match_metric_values]
assert values == [1.0, 0.0], values
models = over_rest("model_service", aiplatform.ModelServiceClient)
registered = models.get_model(name=job.tuned_model.model)
assert registered.display_name == "outsider"
print("everything answered")
"""


def test_googles_own_clients_need_only_the_printed_variables(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    bare = {k: v for k, v in os.environ.items() if not k.startswith(GOOGLE_VARIABLES)}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**bare, **emulator.variables, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert "everything answered" in result.stdout
