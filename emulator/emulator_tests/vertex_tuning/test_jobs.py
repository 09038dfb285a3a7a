"""Tuning jobs over google-genai and the generated client.

https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import google.auth
import pytest
from google import genai
from google.api_core import exceptions
from google.cloud import aiplatform_v1beta1
from google.cloud.aiplatform_v1beta1.services.gen_ai_tuning_service.transports import (
    GenAiTuningServiceRestTransport,
)
from google.genai import errors, types

from emulator_tests.vertex_tuning.conftest import COLOURS, answer, colour_examples, example, wait
from vertex_emulator.testing import RunningEmulator

States = types.JobState
SERVED = "projects/p/locations/global/publishers/google/models/gemini-3.5-flash"
pytestmark = pytest.mark.filterwarnings("ignore:.*tuning implementation is experimental")


@pytest.fixture
def generated(emulator: RunningEmulator) -> Any:
    """The generated client, which asks for enums as integers."""
    credentials, _ = google.auth.default()
    host = emulator.url.removeprefix("http://")
    transport = GenAiTuningServiceRestTransport(
        host=host, url_scheme="http", credentials=credentials
    )
    return aiplatform_v1beta1.GenAiTuningServiceClient(transport=transport)


@pytest.fixture
def parent(emulator: RunningEmulator) -> str:
    variables = emulator.variables
    project, location = variables["GOOGLE_CLOUD_PROJECT"], variables["GOOGLE_CLOUD_LOCATION"]
    return f"projects/{project}/locations/{location}"


def test_a_job_goes_from_pending_to_succeeded_and_its_endpoint_answers(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob], parent: str
) -> None:
    job = tune(wait_for_end=False, epoch_count=2, tuned_model_display_name="colours")
    assert job.state == States.JOB_STATE_PENDING
    assert job.name.startswith(f"{parent}/tuningJobs/")
    assert job.create_time
    assert not job.tuned_model
    states = {job.state}
    while not job.has_ended:
        job = client.tunings.get(name=job.name)
        states.add(job.state)
    assert states <= {
        States.JOB_STATE_PENDING,
        States.JOB_STATE_RUNNING,
        States.JOB_STATE_SUCCEEDED,
    }
    assert States.JOB_STATE_RUNNING in states
    assert job.has_succeeded
    assert job.create_time <= job.start_time <= job.end_time <= job.update_time
    assert job.base_model == "gemini-3.5-flash"
    assert job.tuned_model_display_name == "colours"
    assert job.tuned_model.endpoint.startswith(f"{parent}/endpoints/")
    assert job.tuned_model.model.startswith(f"{parent}/models/")
    for thing, colour in COLOURS.items():
        question = f"What colour has {thing} number 99?"
        assert answer(client, job.tuned_model.endpoint, question) == colour
        assert answer(client, SERVED, question) != colour


async def test_the_async_client_tunes_too(client: genai.Client, upload: Callable[..., str]) -> None:
    job = await client.aio.tunings.tune(
        base_model="gemini-3.1-flash-lite",
        training_dataset=types.TuningDataset(gcs_uri=upload(colour_examples())),
    )
    job = await client.aio.tunings.get(name=job.name)
    assert job.base_model == "gemini-3.1-flash-lite"
    await client.aio.tunings.cancel(name=job.name)


def test_hyperparameters_and_labels_come_back(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    job = tune(
        wait_for_end=False,
        epoch_count=4,
        learning_rate_multiplier=0.5,
        adapter_size="ADAPTER_SIZE_EIGHT",
        labels={"recipe": "abc123"},
        description="A test.",
    )
    hyperparameters = client.tunings.get(name=job.name).supervised_tuning_spec.hyper_parameters
    assert hyperparameters.epoch_count == 4
    assert hyperparameters.learning_rate_multiplier == 0.5
    assert hyperparameters.adapter_size == "ADAPTER_SIZE_EIGHT"
    assert (job.labels, job.description) == ({"recipe": "abc123"}, "A test.")


def test_each_epoch_leaves_a_checkpoint_with_its_own_endpoint(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/models/tuning-checkpoints"""
    job = tune(epoch_count=3)
    checkpoints = job.tuned_model.checkpoints
    assert [c.checkpoint_id for c in checkpoints] == ["1", "2", "3"]
    assert [c.epoch for c in checkpoints] == [1, 2, 3]
    assert [c.step for c in checkpoints] == sorted(c.step for c in checkpoints)
    endpoints = [c.endpoint for c in checkpoints]
    assert len(set(endpoints)) == 3
    assert job.tuned_model.endpoint == endpoints[-1]
    for endpoint in endpoints:
        assert answer(client, endpoint, "What colour has sky number 7?") in COLOURS.values()


def test_a_long_job_keeps_ten_checkpoints(tune: Callable[..., genai.types.TuningJob]) -> None:
    """The same page: with more than ten epochs, ten checkpoints are kept, the last among them."""
    checkpoints = tune(epoch_count=25).tuned_model.checkpoints
    assert len(checkpoints) == 10
    assert checkpoints[-1].epoch == 25


def test_only_the_last_checkpoint_on_request(tune: Callable[..., genai.types.TuningJob]) -> None:
    job = tune(epoch_count=3, export_last_checkpoint_only=True)
    assert job.tuned_model.endpoint
    assert not job.tuned_model.checkpoints


def test_statistics_of_the_data_set(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    examples = [example(f"word {'more ' * n}", f"label {n % 2}", "Sort.") for n in range(20)]
    stats = tune(examples, epoch_count=2).tuning_data_stats.supervised_tuning_data_stats

    def tokens(text: Any) -> Any:
        return client.models.count_tokens(model=SERVED, contents=text).total_tokens

    inputs = [
        tokens("Sort.") + tokens(line["contents"][0]["parts"][0]["text"]) for line in examples
    ]
    outputs = [tokens(line["contents"][1]["parts"][0]["text"]) for line in examples]
    assert stats.tuning_dataset_example_count == 20
    assert stats.total_billable_token_count == sum(inputs) + sum(outputs)
    distribution = stats.user_input_token_distribution
    assert distribution.sum == sum(inputs)
    assert distribution.mean == pytest.approx(sum(inputs) / 20)
    assert (distribution.min, distribution.max) == (min(inputs), max(inputs))
    assert sum(bucket.count for bucket in distribution.buckets) == 20
    assert stats.user_output_token_distribution.sum == sum(outputs)
    assert stats.user_message_per_example_distribution.mean == 2
    assert stats.total_truncated_example_count == 0
    assert stats.user_dataset_examples


def test_an_example_that_is_too_long_is_dropped_with_its_reason(
    tune: Callable[..., genai.types.TuningJob],
) -> None:
    """The limit for Gemini 3.5 Flash is 131,072 tokens an example.

    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning
    """
    examples = [*colour_examples(20), example("long " * 140_000, "red")]
    stats = tune(examples).tuning_data_stats.supervised_tuning_data_stats
    assert stats.tuning_dataset_example_count == 20
    assert stats.total_truncated_example_count == 1
    assert stats.truncated_example_indices == [21]
    assert "131072" in stats.dropped_example_reasons[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "0 valid examples"),
        ("not json\n", "line 1: not a JSON object"),
        ("[1, 2]\n", "line 1: not a JSON object"),
        ('{"input_text": "a", "output_text": "b"}\n', "line 1: unknown field `input_text`"),
        (
            json.dumps({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}),
            "role of a message must be `user` or `model`",
        ),
        (
            json.dumps(
                {"contents": [{"role": role, "parts": [{"text": "x"}]} for role in ("user",) * 2]}
            ),
            "must alternate",
        ),
        (
            json.dumps({"contents": [{"role": "user", "parts": [{"text": "x"}]}]}),
            "must have the role `model`",
        ),
        (json.dumps({"contents": [{"role": "user", "parts": []}]}), "no `parts`"),
        ("\n".join(map(json.dumps, colour_examples(5))), "5 valid examples"),
    ],
)
def test_a_data_set_that_cannot_be_learned_fails_the_job(
    tune: Callable[..., genai.types.TuningJob], content: Any, message: str
) -> None:
    job = tune(content)
    assert job.state == States.JOB_STATE_FAILED
    assert job.error.code == 3
    assert message in job.error.message
    assert not job.tuned_model


def test_a_missing_file_fails_the_job(client: genai.Client, emulator: RunningEmulator) -> None:
    uri = f"gs://{emulator.variables['GENAIOPS_BUCKET']}/no/such.jsonl"
    job = client.tunings.tune(
        base_model="gemini-3.5-flash", training_dataset=types.TuningDataset(gcs_uri=uri)
    )
    job = wait(client, job)
    assert job.state == States.JOB_STATE_FAILED
    assert uri in job.error.message


def test_a_bad_validation_set_fails_the_job(
    client: genai.Client, upload: Callable[..., str]
) -> None:
    job = client.tunings.tune(
        base_model="gemini-3.5-flash",
        training_dataset=types.TuningDataset(gcs_uri=upload(colour_examples())),
        config=types.CreateTuningJobConfig(
            validation_dataset=types.TuningValidationDataset(gcs_uri=upload("oops", "v.jsonl"))
        ),
    )
    job = wait(client, job)
    assert job.state == States.JOB_STATE_FAILED
    assert "v.jsonl, line 1" in job.error.message


def test_a_file_that_is_not_jsonl_is_refused_at_once(client: genai.Client) -> None:
    """The message is the service's own: GoogleCloudPlatform/generative-ai#2081."""
    with pytest.raises(errors.ClientError) as error:
        client.tunings.tune(
            base_model="gemini-3.5-flash",
            training_dataset=types.TuningDataset(gcs_uri="gs://bucket/data.csv"),
        )
    assert (error.value.code, error.value.status) == (400, "INVALID_ARGUMENT")
    assert (
        "Field: tuning_job.supervised_tuning_spec.training_dataset_uri; Message:"
        " training_dataset_uri should be a GCS object of type JSONL." in error.value.message
    )
    violations = error.value.details["error"]["details"][0]["fieldViolations"]
    assert violations[0]["field"] == "tuning_job.supervised_tuning_spec.training_dataset_uri"


def test_nothing_is_tuned_in_global(emulator: RunningEmulator) -> None:
    elsewhere = genai.Client(
        vertexai=True, project=emulator.variables["GOOGLE_CLOUD_PROJECT"], location="global"
    )
    with pytest.raises(errors.ClientError, match="not supported in location global") as caught:
        elsewhere.tunings.tune(
            base_model="gemini-3.5-flash",
            training_dataset=types.TuningDataset(gcs_uri="gs://bucket/colours.jsonl"),
        )
    assert caught.value.status == "FAILED_PRECONDITION"


def test_an_adapter_size_that_the_model_has_not_is_refused(
    tune: Callable[..., genai.types.TuningJob],
) -> None:
    """The message is the service's own: googleapis/python-genai#908."""
    with pytest.raises(errors.ClientError) as error:
        tune(adapter_size="ADAPTER_SIZE_THIRTY_TWO")
    assert error.value.code == 400
    assert error.value.message == "The adapter size is not supported for this base model."


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("gemini-1.0-pro", {}),
        ("gemini-3.1-pro-preview", {}),
        ("gemini-3.5-flash", {"epoch_count": 0}),
        ("gemini-3.5-flash", {"learning_rate_multiplier": -1}),
        ("gemini-3.5-flash", {"labels": {"Upper": "x"}}),
        ("gemini-3.5-flash", {"tuned_model_display_name": "x" * 129}),
    ],
)
def test_bad_requests_are_refused_at_once(
    tune: Callable[..., genai.types.TuningJob], model: str, config: Any
) -> None:
    with pytest.raises(errors.ClientError) as error:
        tune(base_model=model, **config)
    assert error.value.code == 400


def test_what_is_not_served_is_refused_by_name(tune: Callable[..., genai.types.TuningJob]) -> None:
    with pytest.raises(errors.APIError) as error:
        tune(tuning_mode="TUNING_MODE_FULL")
    assert error.value.code == 501
    assert "full fine-tuning" in error.value.message


def test_a_job_can_be_found_by_state_but_not_by_label(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    """What the standard filter takes here is nowhere written, labels least of all."""
    wanted = tune(labels={"recipe": "find-me"})

    def names(text: Any) -> Any:
        return [job.name for job in client.tunings.list(config={"filter": text})]

    assert wanted.name in names('state="JOB_STATE_SUCCEEDED"')
    assert wanted.name not in names('NOT state="JOB_STATE_SUCCEEDED"')
    for text in ('labels.recipe="find-me"', 'state="x" OR (labels.recipe=other)', "labels:recipe"):
        with pytest.raises(errors.ClientError, match="not documented") as refused:
            names(text)
        assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    with pytest.raises(errors.ClientError):
        names("state==")


def test_jobs_are_listed_newest_first_page_by_page(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    jobs = [tune(wait_for_end=False).name for _ in range(5)]
    pager = client.tunings.list(config={"page_size": 2})
    assert len(pager.page) == 2
    assert [job.name for job in pager][:5] == jobs[::-1]


def test_a_cancelled_job_ends_without_a_model(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    job = tune(wait_for_end=False)
    client.tunings.cancel(name=job.name)
    job = wait(client, job)
    assert job.state == States.JOB_STATE_CANCELLED
    assert not job.tuned_model
    client.tunings.cancel(name=job.name)
    assert client.tunings.get(name=job.name).state == States.JOB_STATE_CANCELLED


def test_cancelling_a_finished_job_changes_nothing(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    job = tune()
    client.tunings.cancel(name=job.name)
    assert client.tunings.get(name=job.name).state == States.JOB_STATE_SUCCEEDED


def test_an_unknown_job_is_not_found(client: genai.Client, parent: str) -> None:
    with pytest.raises(errors.ClientError) as error:
        client.tunings.get(name=f"{parent}/tuningJobs/123")
    assert (error.value.code, error.value.status) == (404, "NOT_FOUND")


def test_the_generated_client_creates_gets_lists_and_cancels(
    generated: Any, upload: Callable[..., str], parent: str
) -> None:
    spec = aiplatform_v1beta1.SupervisedTuningSpec(
        training_dataset_uri=upload(colour_examples()),
        hyper_parameters=aiplatform_v1beta1.SupervisedHyperParameters(
            epoch_count=2,
            adapter_size=aiplatform_v1beta1.SupervisedHyperParameters.AdapterSize.ADAPTER_SIZE_ONE,
        ),
    )
    job = generated.create_tuning_job(
        parent=parent,
        tuning_job=aiplatform_v1beta1.TuningJob(
            base_model="gemini-3.5-flash", supervised_tuning_spec=spec, labels={"by": "generated"}
        ),
    )
    assert job.state == aiplatform_v1beta1.JobState.JOB_STATE_PENDING
    again = generated.get_tuning_job(name=job.name)
    assert again.supervised_tuning_spec.hyper_parameters.epoch_count == 2
    listed = generated.list_tuning_jobs(
        aiplatform_v1beta1.ListTuningJobsRequest(parent=parent, filter='base_model="*"')
    )
    assert job.name in [item.name for item in listed]
    generated.cancel_tuning_job(name=job.name)
    with pytest.raises(exceptions.NotFound):
        generated.get_tuning_job(name=f"{parent}/tuningJobs/1")


def test_wrong_labels_make_a_worse_model(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    colours = list(COLOURS.values())
    wrong = [
        example(line["contents"][0]["parts"][0]["text"], colours[(n // 3) % 4])
        for n, line in enumerate(colour_examples())
    ]
    endpoint = tune(wrong, epoch_count=2).tuned_model.endpoint
    answers = [
        answer(client, endpoint, f"What colour has {thing} number {n}?") == colour
        for n in (50, 51)
        for thing, colour in COLOURS.items()
    ]
    assert sum(answers) < 6


def test_preference_tuning_learns_the_better_completion(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-preference-tuning-prepare"""
    lines = [
        {
            "contents": line["contents"][:1],
            "completions": [
                {"score": 0.0, "completion": {"role": "model", "parts": [{"text": "no idea"}]}},
                {"score": 1.0, "completion": line["contents"][1]},
            ],
        }
        for line in colour_examples()
    ]
    job = tune(lines, method="PREFERENCE_TUNING", epoch_count=2, beta=0.1)
    assert job.has_succeeded, job.error
    assert answer(client, job.tuned_model.endpoint, "What colour has sky number 9?") == "blue"
    stats = job.tuning_data_stats.preference_optimization_data_stats
    assert stats.tuning_dataset_example_count == 40
    assert stats.scores_distribution.mean == 0.5


def test_continuous_tuning_adds_a_version_that_knows_more(
    client: genai.Client, tune: Callable[..., genai.types.TuningJob]
) -> None:
    """By default a version is added; with a new display name a new model is made.

    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-continuous-tuning
    """
    first = tune(epoch_count=2)
    more = [example(f"What colour has snow number {n}?", "white") for n in range(20)]
    job = tune([*more, *colour_examples()], base_model=first.tuned_model.model, epoch_count=2)
    assert job.has_succeeded, job.error
    assert job.pre_tuned_model.tuned_model_name == first.tuned_model.model
    model, _, version = job.tuned_model.model.partition("@")
    assert (model, version) == (first.tuned_model.model.partition("@")[0], "2")
    endpoint = job.tuned_model.endpoint
    assert answer(client, endpoint, "What colour has snow number 99?") == "white"
    assert answer(client, endpoint, "What colour has sky number 99?") == "blue"
    assert answer(client, first.tuned_model.endpoint, "What colour has snow number 9?") != "white"
    other = tune(base_model=job.tuned_model.model, tuned_model_display_name="another")
    assert other.tuned_model.model.endswith("@1")
    assert model not in other.tuned_model.model


def test_continuous_tuning_of_an_unknown_model_is_not_found(
    tune: Callable[..., genai.types.TuningJob], parent: str
) -> None:
    with pytest.raises(errors.ClientError) as error:
        tune(base_model=f"{parent}/models/123@1")
    assert error.value.code == 404


def test_losses_are_recorded_as_an_experiment(
    emulator: RunningEmulator, client: genai.Client, upload: Callable[..., str], parent: str
) -> None:
    from google.cloud import aiplatform

    job = client.tunings.tune(
        base_model="gemini-3.5-flash",
        training_dataset=types.TuningDataset(gcs_uri=upload(colour_examples())),
        config=types.CreateTuningJobConfig(
            epoch_count=2,
            validation_dataset=types.TuningValidationDataset(
                gcs_uri=upload(colour_examples(8), "validation.jsonl")
            ),
        ),
    )
    job = wait(client, job)
    _, project, _, location = parent.split("/")
    aiplatform.init(
        project=project, location=location, api_endpoint=emulator.url, api_transport="rest"
    )
    frame = aiplatform.get_experiment_df(job.experiment.rpartition("/")[2])
    assert frame["param.base_model"].tolist() == ["gemini-3.5-flash"]
    assert frame["metric.eval_total_loss_epoch_2"][0] < frame["metric.eval_total_loss_epoch_1"][0]
    assert frame["metric.train_total_loss_epoch_2"][0] > 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"baseModel": 3}',
        b'{"baseModel": "gemini-3.5-flash", "supervisedTuningSpec": []}',
        b'{"supervisedTuningSpec": {"hyperParameters": {"epochCount": "x"}}}',
        b'{"baseModel": "gemini-3.5-flash", "noSuchField": 1}',
        b'{"baseModel": "gemini-3.5-flash", "preTunedModel": {"tunedModelName": "../x"}}',
        b'{"preTunedModel": {"tunedModelName": "../../../etc"}, "supervisedTuningSpec": {}}',
    ],
)
def test_malformed_bodies_are_bad_requests(
    emulator: RunningEmulator, parent: str, body: bytes
) -> None:
    request = urllib.request.Request(
        f"{emulator.url}/v1beta1/{parent}/tuningJobs", data=body, method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 400
    assert json.load(error.value)["error"]["status"] == "INVALID_ARGUMENT"
