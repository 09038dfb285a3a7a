"""What is assumed of tuning jobs: listing and refusals for nothing, and one small job."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.pricing import tuning_cost
from genaiops_dagster.evaluation.asking.inference import read_answer
from genaiops_dagster.google_cloud.base_models import BaseModel, location_in
from genaiops_dagster.google_cloud.patience import only_once
from genaiops_dagster.probe.assumption import NO_SOURCE, Assumption
from genaiops_dagster.probe.bench import PREFIX, Bench, refused
from genaiops_dagster.probe.outcome import NotTriedError, expect
from genaiops_dagster.promotion.prune import StaleModel, delete_model
from genaiops_dagster.promotion.registry import list_models
from genaiops_dagster.prompts.tokens import api_counter, user_message
from genaiops_dagster.tuning.jobs import FINGERPRINT_LABEL, USE_CASE_LABEL, all_jobs
from genaiops_dagster.tuning.states import Phase, has_ended, phase, state_name
from genaiops_dagster.tuning.statistics import statistics_of

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

_PLATFORM = "https://docs.cloud.google.com/gemini-enterprise-agent-platform"
_REST = (
    "https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1beta1/"
    "projects.locations.tuningJobs"
)
_SKILL = "https://github.com/google/skills (its skill on tuning, of 21 August 2026)"
ROWS = 20
"""Rows of the small job; the service asks for more than ten."""

_COLOURS = ("red", "green", "blue", "black", "white")
_LONGEST_WAIT_SECONDS = 3 * 3600.0
_LONGEST_PAUSE_SECONDS = 30.0


def examples() -> list[list[dict[str, Any]]]:
    """The rows of the small job: which colour a thing has."""
    return [
        [
            user_message(f"Which colour has box number {number}?"),
            {"role": "model", "parts": [{"text": _COLOURS[number % len(_COLOURS)]}]},
        ]
        for number in range(ROWS)
    ]


def job_usd(bench: Bench) -> float:
    """What the small job costs at most, in US dollars: its tokens, counted by the service, twice.

    Raises:
        NotTriedError: nothing is tuned in this location, or no price is known.
    """
    model = _model(bench).name
    count = api_counter(bench.models, model)
    tokens = sum(map(count, examples()))
    usd = tuning_cost(model, 2 * tokens, prices=bench.prices)
    if usd is None:
        raise NotTriedError(f"no price of tuning {model} is known")
    return usd


def _model(bench: Bench) -> BaseModel:
    """The model that is cheapest to tune, in the configured location."""
    place = bench.settings.location
    tuned = [one for one in bench.living() if place in one.tuned_in and one.tuning_usd]
    if not tuned:
        raise NotTriedError(f"by the facts, no model with a known price is tuned in {place}")
    return min(tuned, key=lambda one: one.tuning_usd.value if one.tuning_usd else 0.0)


def _list(bench: Bench) -> str:
    listed = [job for job, _ in zip(all_jobs(bench.models.genai), range(100), strict=False)]
    return f"{len(listed)} of the first page, without a filter"


def _missing(bench: Bench) -> str:
    with refused(404) as seen:
        bench.models.genai.tunings.get(name=f"{bench.models.parent}/tuningJobs/1234567890123")
    return seen[0]


@contextmanager
def _plain() -> Iterator[None]:
    """A block in which the SDK does not warn that tuning may change."""
    from google.genai.errors import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


@contextmanager
def _stopped(client: genai.Client, made: list[types.TuningJob]) -> Iterator[None]:
    """A block that should create no job; what it created after all is cancelled at once."""
    try:
        with _plain():
            yield
    finally:
        for job in made:
            client.tunings.cancel(name=job.name or "")


def _refusal(bench: Bench, model: str, file: str, client: genai.Client) -> str:
    """The refusal of a job without data, which would fail for nothing if it were taken."""
    from google.genai import types

    made: list[types.TuningJob] = []
    uri = bench.store.uri(bench.object_name(file))
    with _stopped(client, made), refused(400) as seen:
        made.append(
            client.tunings.tune(
                base_model=model,
                training_dataset=types.TuningDataset(gcs_uri=uri),
                config=types.CreateTuningJobConfig(
                    tuned_model_display_name=f"{PREFIX}-{bench.run}", http_options=only_once(60)
                ),
            )
        )
    return seen[0]


def _global(bench: Bench) -> str:
    return _refusal(bench, _model(bench).name, "none.jsonl", bench.models.at("global").genai)


def _untunable(bench: Bench) -> str:
    model = bench.cheapest(lambda one: not one.tuning_methods).name
    return _refusal(bench, model, "none.jsonl", bench.models.genai)


def _not_json_lines(bench: Bench) -> str:
    return _refusal(bench, _model(bench).name, "none.csv", bench.models.genai)


def _job(bench: Bench) -> str:
    """Tune on a few rows, and wait for it."""
    from google.genai import types

    model, client = _model(bench), bench.models.genai
    uris = []
    for name in ("training", "validation"):
        lines = io.BytesIO()
        for contents in examples():
            lines.write(json.dumps({"contents": contents}).encode() + b"\n")
        written = bench.object_name(f"{name}.jsonl")
        bench.store.write(written, lines.getvalue(), "application/jsonl")
        uris.append(bench.store.uri(written))
    _clean_up(bench)
    bench.book(job_usd(bench) / 2)
    with _plain():
        job = client.tunings.tune(
            base_model=model.name,
            training_dataset=types.TuningDataset(gcs_uri=uris[0]),
            config=types.CreateTuningJobConfig(
                tuned_model_display_name=f"{PREFIX}-{bench.run}",
                epoch_count=1,
                validation_dataset=types.TuningValidationDataset(gcs_uri=uris[1]),
                labels={USE_CASE_LABEL: PREFIX, FINGERPRINT_LABEL: bench.run},
                http_options=only_once(120),
            ),
        )
    waited, pause = 0.0, 1.0
    while not has_ended(job):
        if waited > _LONGEST_WAIT_SECONDS:
            raise NotTriedError(f"the job is still {state_name(job)} after {waited:.0f} s")
        bench.tell(f"tuning {ROWS} rows: {state_name(job)} after {waited / 60:.0f} min")
        bench.clock.sleep(pause)
        waited, pause = waited + pause, min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
        job = client.tunings.get(name=job.name or "")
    why = job.error.message if job.error else "no reason was given"
    expect(phase(job) is Phase.DONE, f"{state_name(job)}: {why}")
    bench.tuned = job
    spec = job.supervised_tuning_spec
    expect(spec and spec.validation_dataset_uri == uris[1], "the job has lost its validation data")
    return f"{model.name} was tuned on {ROWS} rows in {waited / 60:.0f} min"


def _clean_up(bench: Bench) -> None:
    client = bench.models.genai

    def stop() -> None:
        for job in all_jobs(client):
            ours = (job.labels or {}).get(FINGERPRINT_LABEL) == bench.run
            if ours and not has_ended(job):
                client.tunings.cancel(name=job.name or "")
        for model in list_models(bench.models, PREFIX):
            if model.display_name == f"{PREFIX}-{bench.run}":
                deployed = tuple((d.endpoint, d.deployed_model_id) for d in model.deployed_models)
                delete_model(bench.models, StaleModel(model.name.partition("@")[0], "", deployed))

    bench.cleaning(f"tuning job and model {PREFIX}-{bench.run}", stop)


def tuned(bench: Bench) -> types.TuningJob:
    """The job that `_job` has finished.

    Raises:
        NotTriedError: there is none.
    """
    if bench.tuned is None:
        raise NotTriedError("there is no tuned model, because the small tuning job did not succeed")
    return bench.tuned


def endpoint_of(bench: Bench) -> str:
    """Resource name of the tuned model's endpoint."""
    model = tuned(bench).tuned_model
    return (model and model.endpoint) or ""


def model_of(bench: Bench) -> str:
    """Registry name of the tuned model, with its version."""
    model = tuned(bench).tuned_model
    return (model and model.model) or ""


def _labels(bench: Bench) -> str:
    name = tuned(bench).name
    listed = [
        job.name
        for job in all_jobs(bench.models.genai)
        if (job.labels or {}).get(FINGERPRINT_LABEL) == bench.run
    ]
    expect(listed == [name], f"{len(listed)} jobs have its label")
    models = [
        m for m in list_models(bench.models, PREFIX) if m.labels.get(FINGERPRINT_LABEL) == bench.run
    ]
    expect(len(models) == 1, f"{len(models)} models have its label")
    return "its job and its model are found by the labels of the request"


def _statistics(bench: Bench) -> str:
    found = statistics_of(tuned(bench))
    expect(found.examples == ROWS, f"{found.examples} examples of {ROWS}")
    expect(found.tokens, "no billable tokens")
    counted = job_usd(bench) and sum(map(api_counter(bench.models, _model(bench).name), examples()))
    expect(
        found.tokens and counted / 2 <= found.tokens <= counted * 2,
        f"{found.tokens} billable tokens, and {counted} counted beforehand",
    )
    return f"{found.tokens} billable tokens, {counted} counted beforehand; {found.epochs} epoch"


def _endpoint(bench: Bench) -> str:
    endpoint = endpoint_of(bench)
    expect("/endpoints/" in endpoint and location_in(endpoint), f"the endpoint is {endpoint!r}")
    answer = read_answer(bench.ask(endpoint, "Which colour has box number 1?"), 0.0)
    expect(answer.state == "answered", f"{answer.state}: {answer.reason}")
    return f"its endpoint is in {location_in(endpoint)}, and answers there"


ASSUMPTIONS = (
    Assumption(
        "tuning.list",
        "Tuning",
        "Tuning jobs of a location are listed without a filter, and labels compared here",
        f"{_REST}/list",
        "A run that was killed does not find its job again, and pays for another",
        _list,
    ),
    Assumption(
        "tuning.missing-404",
        "Tuning",
        "A tuning job that does not exist is answered with 404",
        f"{_REST}/get",
        "A note of a job that was deleted stops the use case for good",
        _missing,
    ),
    Assumption(
        "tuning.not-in-global",
        "Tuning",
        "Tuning in global is refused, before anything is paid",
        _SKILL,
        "Nothing breaks, but use cases are refused that the service would tune",
        _global,
    ),
    Assumption(
        "tuning.untunable-400",
        "Tuning",
        "A base model that is not tuned, by the facts, is refused with 400",
        f"{_PLATFORM}/models/gemini-supervised-tuning",
        "Nothing breaks, but use cases are refused that the service would tune",
        _untunable,
    ),
    Assumption(
        "tuning.json-lines-only",
        "Tuning",
        "Training data that is not a JSONL object is refused with 400, before anything is paid",
        "https://github.com/GoogleCloudPlatform/generative-ai/issues/2081",
        "A wrong job is noticed only after it has waited for its turn",
        _not_json_lines,
    ),
    Assumption(
        "tuning.job",
        "Tuning",
        "A job with typed data sets keeps its validation data, and succeeds on a few rows",
        f"{_PLATFORM}/models/gemini-supervised-tuning",
        "Nothing can be tuned, or losses on validation data are missing",
        _job,
        spends=True,
    ),
    Assumption(
        "tuning.labels",
        "Tuning",
        "Labels of the request are on the job and on the model that it makes",
        f"{_REST}",
        "A killed run pays twice; promotion, prune and teardown do not find models",
        _labels,
        spends=True,
    ),
    Assumption(
        "tuning.statistics",
        "Tuning",
        "The job says how many tokens it bills, near to what CountTokens counted",
        f"{_REST}",
        "Estimates of tuning are wrong, and a job that is too dear is not cancelled",
        _statistics,
        spends=True,
    ),
    Assumption(
        "tuning.endpoint-location",
        "Tuning",
        "The tuned model's endpoint answers in the location that its name has",
        NO_SOURCE,
        "The tuned candidate is asked where it is not",
        _endpoint,
        spends=True,
    ),
)  # fmt: skip
