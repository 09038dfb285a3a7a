"""Tuning by steps: the parameters that pipelines for large models take, for a current model.

The pipelines of the PaLM generation took a number of training steps and an interval, in steps, at
which to evaluate. Gemini is tuned by epochs and keeps a checkpoint after each; this pipeline turns
one into the other, and scores the checkpoints that are an interval apart.
"""

# KFP reads the annotations of components: no `from __future__ import annotations` here.
# Components stand alone: each imports what it needs, and catches nothing that it cannot mend.

from typing import NamedTuple

from kfp import dsl

IMAGE = "python:3.12"
PACKAGES = ["google-genai>=2.34,<3", "google-cloud-storage>=3.4,<4"]
PIPELINE_ARGUMENTS = {
    "model_display_name": "tuned-by-steps",
    "large_model_reference": "gemini-3.5-flash-lite",
    "train_steps": 200,
    "evaluation_interval": 20,
}
"""What the notebooks of that generation passed, with a model that can be tuned today."""


@dsl.component(base_image=IMAGE, packages_to_install=PACKAGES)
def plan_epochs(project: str, dataset_uri: str, train_steps: int, examples_per_step: int) -> int:
    """How many epochs take at least `train_steps` steps."""
    from google.cloud import storage

    with storage.Blob.from_uri(dataset_uri, storage.Client(project)).open("rb") as lines:
        examples = sum(1 for line in lines if line.strip())
    if not examples:
        raise ValueError(f"{dataset_uri} has no examples")
    steps_per_epoch = -(-examples // examples_per_step)
    return max(1, -(-train_steps // steps_per_epoch))


@dsl.component(base_image=IMAGE, packages_to_install=PACKAGES)
def tune(
    project: str,
    location: str,
    model_display_name: str,
    large_model_reference: str,
    dataset_uri: str,
    evaluation_data_uri: str,
    epochs: int,
) -> NamedTuple("Tuned", [("job", str), ("endpoint", str)]):  # type: ignore[valid-type]
    """Tune a model, or find the job that does; wait for its end."""
    import hashlib
    import time

    from google import genai
    from google.genai import types

    client = genai.Client(vertexai=True, project=project, location=location)
    asked = f"{large_model_reference} {dataset_uri} {evaluation_data_uri} {epochs}"
    label = hashlib.sha256(asked.encode()).hexdigest()[:32]
    listed = client.tunings.list()
    found = [job for job in listed if (job.labels or {}).get("pipeline_arguments") == label]
    job = (
        found[0]
        if found
        else client.tunings.tune(
            base_model=large_model_reference,
            training_dataset=types.TuningDataset(gcs_uri=dataset_uri),
            config=types.CreateTuningJobConfig(
                tuned_model_display_name=model_display_name,
                epoch_count=epochs,
                validation_dataset=types.TuningValidationDataset(gcs_uri=evaluation_data_uri),
                labels={"pipeline_arguments": label},
            ),
        )
    )
    while not job.has_ended:
        time.sleep(1)
        job = client.tunings.get(name=job.name)
    if not job.has_succeeded:
        raise RuntimeError(f"{job.name} ended as {job.state}: {job.error}")
    return job.name, job.tuned_model.endpoint


@dsl.component(base_image=IMAGE, packages_to_install=PACKAGES)
def evaluate(
    project: str,
    location: str,
    job: str,
    evaluation_data_uri: str,
    evaluation_interval: int,
    evaluation_rows: int,
    metrics: dsl.Output[dsl.Metrics],
) -> float:
    """Score the checkpoints that are an interval apart, and the last; the last one's score.

    The score is the share of held-out questions that are answered as in the file.
    """
    import itertools
    import json

    from google import genai
    from google.cloud import storage

    client = genai.Client(vertexai=True, project=project, location=location)
    with storage.Blob.from_uri(evaluation_data_uri, storage.Client(project)).open("rb") as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, evaluation_rows)]
    made = client.tunings.get(name=job).tuned_model
    checkpoints = made.checkpoints or []
    last_step, score = 0, 0.0
    for checkpoint in checkpoints:
        step = int(checkpoint.step or 0)
        if step - last_step < evaluation_interval and checkpoint is not checkpoints[-1]:
            continue
        right = 0
        for row in rows:
            *question, wanted = row["contents"]
            answer = client.models.generate_content(
                model=checkpoint.endpoint,
                contents=question,
                config={"system_instruction": row.get("systemInstruction"), "temperature": 0},
            )
            right += (answer.text or "").strip() == wanted["parts"][0]["text"].strip()
        last_step, score = step, right / len(rows)
        metrics.log_metric(f"exact_match_after_step_{step}", score)
    return score


@dsl.pipeline(name="tune-by-steps", description="Tunes a model for a number of steps.")
def pipeline_arguments(
    project: str,
    location: str,
    dataset_uri: str,
    evaluation_data_uri: str,
    model_display_name: str = "tuned-by-steps",
    large_model_reference: str = "gemini-3.5-flash-lite",
    train_steps: int = 200,
    evaluation_interval: int = 20,
    examples_per_step: int = 16,
    evaluation_rows: int = 50,
) -> float:
    """Tune a model for a number of steps, and score it at intervals.

    Args:
        project: Google Cloud project.
        location: Location of Vertex AI.
        dataset_uri: JSONL of the training set, in Cloud Storage.
        evaluation_data_uri: JSONL of held-out examples of the same form.
        model_display_name: Name that the tuned model gets.
        large_model_reference: Model to tune.
        train_steps: Steps to train at least.
        evaluation_interval: Steps between the checkpoints that are scored.
        examples_per_step: Examples that the service takes in a step.
        evaluation_rows: Held-out examples to ask.
    """
    epochs = plan_epochs(
        project=project,
        dataset_uri=dataset_uri,
        train_steps=train_steps,
        examples_per_step=examples_per_step,
    )
    tuned = tune(
        project=project,
        location=location,
        model_display_name=model_display_name,
        large_model_reference=large_model_reference,
        dataset_uri=dataset_uri,
        evaluation_data_uri=evaluation_data_uri,
        epochs=epochs.output,
    )
    scored = evaluate(
        project=project,
        location=location,
        job=tuned.outputs["job"],
        evaluation_data_uri=evaluation_data_uri,
        evaluation_interval=evaluation_interval,
        evaluation_rows=evaluation_rows,
    )
    return scored.outputs["Output"]  # type: ignore[no-any-return]
