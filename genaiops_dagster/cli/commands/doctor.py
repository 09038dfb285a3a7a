"""`genaiops doctor`: what is configured, where each client would call, and what answers."""

from __future__ import annotations

import datetime as dt
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from genaiops_dagster.cli.options import fail
from genaiops_dagster.cli.probing import probe as run_probe
from genaiops_dagster.cli.session import SessionError, require_cloud
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.cli.working import reporting
from genaiops_dagster.google_cloud.base_models import availability, stale_facts
from genaiops_dagster.google_cloud.permissions import (
    ON_THE_BUCKET,
    ON_THE_PROJECT,
    Needed,
    granted,
    missing,
    project_address,
)
from genaiops_dagster.google_cloud.settings import (
    BIGQUERY_LOCATION,
    BUCKET,
    DATASET,
    LOCATION,
    PROJECT,
    REMEDIES,
    VERTEX_URL,
    GoogleCloudSettings,
)
from genaiops_dagster.planning.estimate import models_of
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import UseCaseError, load_use_cases

_SECONDS = 30
_VARIABLES = {
    PROJECT: REMEDIES[PROJECT],
    BUCKET: REMEDIES[BUCKET],
    LOCATION: f"Vertex AI location; default {GoogleCloudSettings.location}",
    DATASET: f"BigQuery dataset; default {GoogleCloudSettings.dataset}",
    BIGQUERY_LOCATION: f"BigQuery location; default {GoogleCloudSettings.bigquery_location}",
    "GOOGLE_APPLICATION_CREDENTIALS": "credentials file; default: those of gcloud",
}


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check: `remedy` says what to do when it failed, and is empty otherwise."""

    name: str
    detail: str
    remedy: str = ""


def doctor(
    probe: Annotated[
        bool, typer.Option("--probe", help="Check all that is assumed of Google instead.")
    ] = False,
    spend: Annotated[
        float | None,
        typer.Option("--spend", min=0, help="US dollars that jobs of the probe may cost."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the probe there, without names of your project."),
    ] = None,
) -> None:
    """Show what is configured, and try it; exits with 1 when something does not answer.

    With --probe, check everything that this package assumes of Google, each with a call that costs
    nothing or a fraction of a cent; exits with 1 when something differs. What it creates is deleted
    again. With --spend, a tuning job of 20 rows, two small batches and a pipeline, too.
    """
    console = Terminal()
    if probe:
        with reporting():
            run_probe(require_cloud(), spend, json_file)
        return
    if spend is not None or json_file is not None:
        fail("--spend and --json belong to --probe", code=2)
    console.print(_configuration())
    try:
        console.print(_base_models())
    except UseCaseError as error:
        console.print(styled(str(error), "red"), soft_wrap=True)
    try:
        settings = require_cloud()
    except SessionError as error:
        console.print(styled(str(error), "red"), soft_wrap=True)
        console.print(
            "Until then `genaiops run` and `genaiops dev` use an emulator on this machine."
        )
        raise typer.Exit(1) from error
    checks: list[Callable[[GoogleCloudSettings], Diagnosis]] = [
        _bucket,
        _bucket_permissions,
        _project_permissions,
        _bigquery,
        _dataset,
        _merge,
        *(functools.partial(_model, model) for model in _counted_models()),
        _tuning,
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        findings = list(pool.map(lambda check: check(settings), checks))
    table = Table(title="What answers", box=SIMPLE)
    for heading in ("", "Check", "Found", "What to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = styled("fail", "red") if finding.remedy else styled("ok", "green")
        table.add_row(mark, finding.name, finding.detail, finding.remedy)
    console.print(table)
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)


def _counted_models() -> list[str]:
    """The Gemini models of the use cases, each once; none of files that cannot be read."""
    try:
        use_cases = load_use_cases().values()
    except UseCaseError:  # was shown already
        return []
    return sorted(
        model
        for model in set().union(*(models_of(use_case) for use_case in use_cases))
        if model.startswith("gemini-")
    )


def endpoints(location: str) -> dict[str, str]:
    """Address that each client would call, by service."""
    vertex = f"https://{'' if location == 'global' else location + '-'}aiplatform.googleapis.com"
    return {
        "Cloud Storage": os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com"),
        "BigQuery": os.environ.get("BIGQUERY_EMULATOR_HOST", "https://bigquery.googleapis.com"),
        "Vertex AI": os.environ.get(VERTEX_URL, vertex),
    }


def _configuration() -> Table:
    table = Table(title="What is configured", box=SIMPLE)
    for heading in ("Name", "Value", "Meaning"):
        table.add_column(heading, overflow="fold")
    for name, meaning in _VARIABLES.items():
        table.add_row(name, os.environ.get(name) or styled("not set", "dim"), meaning)
    location = os.environ.get(LOCATION) or GoogleCloudSettings.location
    for service, address in endpoints(location).items():
        table.add_row(service, address, "address that its client calls")
    return table


def _base_models() -> Table:
    """The first possible retirement of each model; `google_cloud/models.toml` has the days."""
    use_cases = load_use_cases()
    names = sorted(set().union(*(models_of(use_case) for use_case in use_cases.values())))
    styles = {"closing": "yellow", "retired": "red"}
    today = dt.datetime.now(dt.UTC).date()
    table = Table(title="Base models of the use cases", box=SIMPLE)
    table.caption = stale_facts(today) or None
    for heading in ("Model", "Used by", "Retirement"):
        table.add_column(heading, overflow="fold")
    for name in names:
        found = availability(name, today)
        users = [one for one, use_case in use_cases.items() if name in models_of(use_case)]
        table.add_row(
            name, ", ".join(users), styled(found.sentence, styles.get(found.standing, ""))
        )
    return table


def _finding(name: str, remedy: str, attempt: Callable[[], str]) -> Diagnosis:
    """Try something; any failure becomes a finding with its remedy."""
    try:
        return Diagnosis(name, attempt())
    except Exception as error:  # noqa: BLE001 - whatever fails is what the user asked to see
        text = str(error).splitlines()
        return Diagnosis(name, text[0] if text else type(error).__name__, remedy)


def _bucket(settings: GoogleCloudSettings) -> Diagnosis:
    from google.cloud import storage

    def attempt() -> str:
        client = storage.Client(settings.project)
        bucket = client.get_bucket(settings.bucket, timeout=_SECONDS, retry=None)
        return f"gs://{bucket.name} in {bucket.location}"

    create = f"gcloud storage buckets create gs://{settings.bucket} --project {settings.project}"
    return _finding("Bucket", create, attempt)


def _bucket_permissions(settings: GoogleCloudSettings) -> Diagnosis:
    from google.cloud import storage

    def ask(wanted: list[str]) -> list[str]:
        bucket = storage.Client(settings.project).bucket(settings.bucket)
        held: list[str] = bucket.test_iam_permissions(wanted, timeout=_SECONDS, retry=None)
        return held

    return _permissions("Bucket permissions", ON_THE_BUCKET, ask, "bucket")


def _project_permissions(settings: GoogleCloudSettings) -> Diagnosis:
    def ask(wanted: list[str]) -> list[str]:
        return granted(project_address(settings), wanted)

    return _permissions("Project permissions", ON_THE_PROJECT, ask, "project")


def _permissions(
    name: str, needed: Sequence[Needed], ask: Callable[[list[str]], list[str]], where: str
) -> Diagnosis:
    """What the account lacks of the needed permissions, for which steps, and the roles to grant."""
    try:
        lacking = missing(needed, ask([one.permission for one in needed]))
    except Exception as error:  # noqa: BLE001 - whatever fails is what the user asked to see
        remedy = "enable cloudresourcemanager.googleapis.com" if where == "project" else "see above"
        return Diagnosis(name, str(error).splitlines()[0], remedy)
    if not lacking:
        return Diagnosis(name, f"all {len(needed)} that are needed")
    steps = ", ".join(f"{one.permission} ({one.step})" for one in lacking)
    roles = " and ".join(sorted({one.role for one in lacking}))
    return Diagnosis(name, f"missing: {steps}", f"grant {roles} on the {where}")


def _bigquery(settings: GoogleCloudSettings) -> Diagnosis:
    from google.cloud import bigquery

    def attempt() -> str:
        client = bigquery.Client(settings.project, location=settings.bigquery_location)
        config = bigquery.QueryJobConfig(dry_run=True)
        client.query("SELECT 1", job_config=config, timeout=_SECONDS, retry=None, job_retry=None)
        return f"queries run in {settings.bigquery_location}"

    remedy = "grant roles/bigquery.jobUser on the project, and enable bigquery.googleapis.com"
    return _finding("BigQuery jobs", remedy, attempt)


def _dataset(settings: GoogleCloudSettings) -> Diagnosis:
    from google.api_core.exceptions import NotFound
    from google.cloud import bigquery

    def attempt() -> str:
        client = bigquery.Client(settings.project, location=settings.bigquery_location)
        try:
            dataset = client.get_dataset(settings.dataset, timeout=_SECONDS, retry=None)
        except NotFound:
            return f"{settings.dataset} does not exist yet; it is created when first written"
        return f"{dataset.full_dataset_id} in {dataset.location}"

    return _finding("BigQuery dataset", "grant roles/bigquery.dataEditor", attempt)


def _merge(settings: GoogleCloudSettings) -> Diagnosis:
    from genaiops_dagster.budget.spend import SPEND
    from genaiops_dagster.google_cloud.warehouse import Warehouse

    def attempt() -> str:
        warehouse = Warehouse.connect(settings, SYSTEM_CLOCK)
        if not warehouse.rehearse_merge(SPEND):
            return f"{SPEND.name} does not exist yet; it is created when first written"
        return f"rows can be merged into {SPEND.name}"

    return _finding("BigQuery tables", "grant roles/bigquery.dataEditor on the dataset", attempt)


def _model(model: str, settings: GoogleCloudSettings) -> Diagnosis:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI
    from genaiops_dagster.prompts.tokens import api_counter, user_message

    def attempt() -> str:
        clients = VertexAI(settings)  # kept: a client closes its connections when it goes
        served = clients.serving(clients.model_address(model)).settings.location
        tokens = api_counter(clients, model)([user_message("Does this answer?")])
        return f"counts {tokens} tokens in {served}"

    remedy = (
        "enable aiplatform.googleapis.com, grant roles/aiplatform.user, or choose a model that "
        f"{settings.location} serves"
    )
    return _finding(model, remedy, attempt)


def _tuning(settings: GoogleCloudSettings) -> Diagnosis:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI
    from genaiops_dagster.tuning.jobs import all_jobs

    def attempt() -> str:
        clients = VertexAI(settings)
        all_jobs(clients.genai)
        return "tuning jobs can be listed"

    return _finding("Vertex AI tuning", "grant roles/aiplatform.user on the project", attempt)
