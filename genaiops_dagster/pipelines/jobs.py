"""The one pipeline job of a recipe: found if it exists, created if not, never run twice.

The caller chooses the id of a pipeline job, so the service itself sees to it that there is one: of
all who try to create the job of an attempt one succeeds, and the others learn that it exists. No
claim is needed, as it is for tuning jobs, whose id the service chooses.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genaiops_dagster.pipelines.recipe import PipelineRecipe
from genaiops_dagster.pipelines.states import PipelineJobError, ended_well, has_ended, state_name
from genaiops_dagster.tuning.jobs import ATTEMPT_LABEL, FINGERPRINT_LABEL, USE_CASE_LABEL

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import PipelineJob

    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

_LABEL_LENGTH = 63
_CREATE_SECONDS = 60.0
_CREATIONS = 3


class PipelineJobs:
    """The pipeline jobs of a project and location."""

    def __init__(self, clients: VertexAI, log: logging.Logger) -> None:
        self._clients = clients
        self._log = log

    def get(self, name: str) -> PipelineJob:
        """The job called `name`, as it is now."""
        return self._clients.pipelines.get_pipeline_job(name=name)

    def get_or_create(
        self, recipe: PipelineRecipe, *, retry_failed: bool = False, run_again: bool = False
    ) -> PipelineJob:
        """The job of `recipe`; however often and by however many this is called, there is one.

        Args:
            recipe: What to run.
            retry_failed: Create another job where the latest one failed.
            run_again: Create another job where the latest one has ended, well or not.

        Raises:
            PipelineJobError: creating failed in a way that leaves open whether a job exists.
            google.api_core.exceptions.GoogleAPICallError: the service refused to create the job.
        """
        found = self.find(recipe)
        if found is not None:
            again = has_ended(found) and (run_again or (retry_failed and not ended_well(found)))
            if not again:
                self._log.info("Found pipeline job %s (%s)", found.name, state_name(found))
                return found
        return self._create(recipe, 1 if found is None else attempt(found) + 1)

    def find(self, recipe: PipelineRecipe) -> PipelineJob | None:
        """The latest job of `recipe`; None when there is none."""
        label = recipe.fingerprint[:_LABEL_LENGTH]
        listed = self._clients.pipelines.list_pipeline_jobs(
            {
                "parent": self._clients.parent,
                "filter": f'labels.{FINGERPRINT_LABEL}="{label}"',
            }
        )
        jobs = [job for job in listed if job.labels.get(FINGERPRINT_LABEL) == label]
        return self.get(max(jobs, key=attempt).name) if jobs else None

    def _create(self, recipe: PipelineRecipe, number: int) -> PipelineJob:
        import requests
        from google.api_core import exceptions

        name = f"{self._clients.parent}/pipelineJobs/{recipe.job_id(number)}"
        lost: Exception | None = None
        for _ in range(_CREATIONS):
            try:
                job = self._clients.pipelines.create_pipeline_job(
                    parent=self._clients.parent,
                    pipeline_job=_request(recipe, number),
                    pipeline_job_id=recipe.job_id(number),
                    timeout=_CREATE_SECONDS,
                )
            except exceptions.Conflict:
                self._log.info("Pipeline job %s was created already", name)
                return self.get(name)
            except (exceptions.ServerError, requests.RequestException) as error:
                if isinstance(error, exceptions.MethodNotImplemented):
                    raise
                self._log.warning("Creating the pipeline job had no clear outcome: %s", error)
                lost = error
            else:
                self._log.info("Created pipeline job %s", job.name)
                return job
        raise PipelineJobError(
            f"{name}: creating the job was tried {_CREATIONS} times: {lost}\n"
            "Materialize the asset again when the service answers; it looks for the job first."
        ) from lost


def attempt(job: PipelineJob) -> int:
    """Which attempt at its recipe a job is."""
    return int(job.labels.get(ATTEMPT_LABEL, "1"))


def _request(recipe: PipelineRecipe, number: int) -> Mapping[str, Any]:
    """The job as it is sent: caching as the use case says, in every DAG of the pipeline."""
    spec = _with_caching(recipe.spec, recipe.caching)
    return {
        "display_name": f"{recipe.use_case} {recipe.name}"[:128],
        "pipeline_spec": spec,
        "runtime_config": {
            "gcs_output_directory": recipe.root,
            "parameter_values": recipe.parameters,
        },
        "labels": {
            USE_CASE_LABEL: recipe.use_case,
            FINGERPRINT_LABEL: recipe.fingerprint[:_LABEL_LENGTH],
            ATTEMPT_LABEL: str(number),
        },
        **({"service_account": recipe.service_account} if recipe.service_account else {}),
        **({"template_uri": recipe.template} if recipe.template.startswith("https://") else {}),
    }


def _with_caching(spec: Mapping[str, Any], caching: bool) -> dict[str, Any]:
    """The pipeline as compiled, or with caching switched off in every task."""
    if caching:
        return dict(spec)

    def switched(component: Mapping[str, Any]) -> dict[str, Any]:
        if "dag" not in component:
            return dict(component)
        tasks = {
            name: {**task, "cachingOptions": {"enableCache": False}}
            for name, task in component["dag"].get("tasks", {}).items()
        }
        return {**component, "dag": {**component["dag"], "tasks": tasks}}

    components = {name: switched(item) for name, item in spec.get("components", {}).items()}
    return {**spec, "root": switched(spec["root"]), "components": components}
