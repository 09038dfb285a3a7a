"""What is assumed of pipeline jobs, of the metadata store, and of accounts and images of steps."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from genaiops_dagster.google_cloud.experiments import record_experiment_run
from genaiops_dagster.google_cloud.permissions import (
    ON_THE_PROJECT,
    PermissionsUnknownError,
    granted,
    missing,
    project_address,
    session,
)
from genaiops_dagster.pipelines.recipe import EXAMPLES
from genaiops_dagster.pipelines.states import has_ended
from genaiops_dagster.probe.assumption import Assumption
from genaiops_dagster.probe.bench import PREFIX, Bench, refused
from genaiops_dagster.probe.outcome import NotTriedError, expect
from genaiops_dagster.tuning.jobs import FINGERPRINT_LABEL, USE_CASE_LABEL
from genaiops_dagster.use_case.pipelines import DEFAULT_IMAGE, LIFECYCLE

_REST = "https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations"
RUN_USD = 0.03
"""What a pipeline run costs besides its machines.

Source: https://cloud.google.com/vertex-ai/pricing#pipelines
"""

_SECONDS = 60.0


def _list(bench: Bench) -> str:
    request = {
        "parent": bench.models.parent,
        "filter": f'labels.{FINGERPRINT_LABEL}="genaiops-no-such-job"',
    }
    found = list(bench.models.pipelines.list_pipeline_jobs(request))
    expect(not found, f"{len(found)} jobs have a label that was never given")
    return f'the filter labels.{FINGERPRINT_LABEL}="..." is taken'


def _missing(bench: Bench) -> str:
    with refused(404) as seen:
        bench.models.pipelines.get_pipeline_job(
            name=f"{bench.models.parent}/pipelineJobs/{PREFIX}-none"
        )
    return seen[0]


def _create(bench: Bench, identifier: str) -> Any:
    import yaml

    spec = yaml.safe_load((EXAMPLES / "hello_world.yaml").read_text(encoding="utf-8"))
    return bench.models.pipelines.create_pipeline_job(
        parent=bench.models.parent,
        pipeline_job={
            "display_name": identifier,
            "pipeline_spec": spec,
            "runtime_config": {
                "gcs_output_directory": bench.store.uri(bench.folder("pipeline").rstrip("/")),
                "parameter_values": {"recipient": "a probe"},
            },
            "labels": {USE_CASE_LABEL: PREFIX, FINGERPRINT_LABEL: bench.run},
        },
        pipeline_job_id=identifier,
        timeout=_SECONDS,
    )


def _wrong_id(bench: Bench) -> str:
    with refused(400) as seen:
        _create(bench, "Not_A_Valid_Id")
    return seen[0]


def _id_once(bench: Bench) -> str:
    identifier = f"{PREFIX}-{bench.run}"
    name = f"{bench.models.parent}/pipelineJobs/{identifier}"
    jobs = bench.models.pipelines

    def delete() -> None:
        waited = 0.0
        if not has_ended(jobs.get_pipeline_job(name=name)):
            jobs.cancel_pipeline_job(name=name)
        while not has_ended(jobs.get_pipeline_job(name=name)) and waited < 5 * _SECONDS:
            bench.clock.sleep(1.0)
            waited += 1.0
        jobs.delete_pipeline_job(name=name).result()

    bench.cleaning(f"pipeline job {identifier}", delete)
    bench.book(RUN_USD)
    _create(bench, identifier)
    with refused(409) as seen:
        _create(bench, identifier)
    return seen[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which the SDK does not log each of its steps."""
    log = logging.getLogger("google.cloud.aiplatform")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def _experiment(bench: Bench) -> str:
    from google.cloud import aiplatform

    name = f"{PREFIX}-{bench.run}-experiment"

    def delete() -> None:
        with _quiet():
            aiplatform.Experiment(name).delete()

    bench.cleaning(f"experiment {name}", delete)
    with _quiet():
        record_experiment_run(bench.settings, name, "first", {"epochs": 1}, {"loss": 0.5})
        record_experiment_run(bench.settings, name, "first", {"epochs": 2}, {"loss": 0.25})
    run = aiplatform.ExperimentRun("first", experiment=name)
    found = {**run.get_params(), **run.get_metrics()}
    expect(found == {"epochs": 2, "loss": 0.25}, f"written twice, and read back: {found}")
    return "a run is written, written again and read back"


def _granted(address: str, permissions: list[str]) -> list[str]:
    try:
        return granted(address, permissions)
    except PermissionsUnknownError as error:
        raise NotTriedError(str(error)) from error


def _project(bench: Bench) -> str:
    wanted = [one.permission for one in ON_THE_PROJECT]
    held = _granted(project_address(bench.settings), wanted)
    lacking = missing(ON_THE_PROJECT, held)
    expect(not lacking, f"not granted: {', '.join(one.permission for one in lacking)}")
    return f"{len(held)} permissions are granted"


def _act_as(bench: Bench) -> str:
    accounts = {
        run.service_account
        for use_case in bench.use_cases.values()
        for run in use_case.pipelines.values()
        if run.service_account
    }
    if not accounts:
        raise NotTriedError("no use case names an account for the steps of its pipelines")
    if bench.settings.vertex_url:
        raise NotTriedError("accounts are not served at the configured address")
    for account in sorted(accounts):
        address = f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{account}"
        held = _granted(address, ["iam.serviceAccounts.actAs"])
        expect(held, f"iam.serviceAccounts.actAs is not granted on {account}")
    return f"granted on {len(accounts)} accounts"


def _image(bench: Bench) -> str:
    images = {
        run.image
        for use_case in bench.use_cases.values()
        for run in use_case.pipelines.values()
        if run.template == LIFECYCLE and run.image != DEFAULT_IMAGE
    }
    if not images:
        raise NotTriedError("no use case names an image for the steps of its lifecycle")
    for image in sorted(images):
        found = re.fullmatch(
            r"([\w.-]+-docker\.pkg\.dev)/(.+?)(?::([\w.-]+)|@(sha256:\w+))?", image
        )
        if found is None:
            raise NotTriedError(f"{image} is not in Artifact Registry")
        host, path, tag, digest = found.groups()
        address = f"https://{host}/v2/{path}/manifests/{digest or tag or 'latest'}"
        status = session().head(address, timeout=_SECONDS).status_code
        expect(status == 200, f"{status} for the manifest of {image}")
    return f"{len(images)} images can be read"


ASSUMPTIONS = (
    Assumption(
        "pipelines.label-filter",
        "Pipelines",
        "Pipeline jobs are listed with a filter of a label",
        f"{_REST}.pipelineJobs/list",
        "A run that was killed does not find its pipeline again, and starts another",
        _list,
    ),
    Assumption(
        "pipelines.missing-404",
        "Pipelines",
        "A pipeline job that does not exist is answered with 404",
        f"{_REST}.pipelineJobs/get",
        "The sensor reports jobs as failed that somebody deleted",
        _missing,
    ),
    Assumption(
        "pipelines.job-id",
        "Pipelines",
        "An id with capitals or underscores is refused with 400; ours are [a-z][-a-z0-9]{0,127}",
        f"{_REST}.pipelineJobs/create",
        "Nothing breaks; ids are made narrower than they need be",
        _wrong_id,
    ),
    Assumption(
        "pipelines.id-once",
        "Pipelines",
        "A second job with an id that is taken is refused with 409",
        f"{_REST}.pipelineJobs/create",
        "Two runs start one pipeline each, and both are paid",
        _id_once,
        spends=True,
    ),
    Assumption(
        "pipelines.act-as",
        "Pipelines",
        "Who submits a pipeline may act as the account that its steps run as",
        "https://cloud.google.com/vertex-ai/docs/pipelines/configure-project",
        "Pipelines are refused with 403",
        _act_as,
    ),
    Assumption(
        "pipelines.image",
        "Pipelines",
        "The image of the steps is in a registry from which it can be pulled",
        "https://cloud.google.com/artifact-registry/docs/docker/pushing-and-pulling",
        "Every step of the lifecycle waits for its image until it fails",
        _image,
    ),
    Assumption(
        "metadata.experiment",
        "Metadata",
        "A run of an experiment is written under its name, and written again without an error",
        "https://cloud.google.com/vertex-ai/docs/experiments/create-manage-exp-run",
        "Reports are not in Vertex AI Experiments",
        _experiment,
    ),
)  # fmt: skip

PROJECT = (
    Assumption(
        "project.permissions",
        "Project",
        "testIamPermissions of the project answers with those permissions that are granted",
        "https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions",
        "`genaiops doctor` cannot say which role is missing",
        _project,
    ),
)  # fmt: skip
