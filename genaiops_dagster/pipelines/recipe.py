"""Everything that decides a pipeline run, and the fingerprint by which it is made only once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.pipelines import LIFECYCLE, PipelineRun

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

EXAMPLES = Path(__file__).parent / "examples"
_RECIPE_VERSION = 1


class TemplateError(ValueError):
    """A template cannot be used; the message names it and the remedy."""


class PipelineRecipe(Record):
    """Everything that decides a pipeline job.

    Attributes:
        use_case: Name of the use case.
        name: Name of the run in its file.
        template: What the file names.
        spec: The compiled pipeline.
        parameters: Values of its input parameters.
        root: Folder of outputs.
        caching: Whether unchanged steps are taken from the cache.
        service_account: Account that the steps run as.
    """

    use_case: str
    name: str
    template: str
    spec: dict[str, Any]
    parameters: dict[str, Any]
    root: str
    caching: bool
    service_account: str | None

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over what decides the run's outputs."""
        return fingerprint(_RECIPE_VERSION, self.spec, self.parameters, self.root)

    @property
    def pipeline(self) -> str:
        """Name of the compiled pipeline."""
        return str(self.spec["pipelineInfo"]["name"])

    def job_id(self, attempt: int) -> str:
        """Id of the job of an attempt, the same for all who would create it.

        At most 128 of `[-a-z0-9]`, beginning with a letter.
        """
        names = "-".join(part.replace("_", "-")[:40] for part in (self.use_case, self.name))
        return f"{names}-{self.fingerprint[:24]}-{attempt}"


def pipeline_recipe(
    use_case: UseCase,
    name: str,
    store: ObjectStore,
    settings: GoogleCloudSettings,
    source_version: str = "",
) -> PipelineRecipe:
    """The recipe of one of a use case's `pipelines`.

    `source_version` is the digest of the source rows that the lifecycle starts from.

    Raises:
        TemplateError: the template cannot be read, or is not a compiled pipeline; or its image has
            no registry.
    """
    run = use_case.pipelines[name]
    if run.template == LIFECYCLE:
        if not settings.vertex_url:
            require_pullable(name, run)
        from genaiops_dagster.pipelines.lifecycle import compile_lifecycle, lifecycle_parameters

        spec = compile_lifecycle(use_case, run.image)
        parameters = lifecycle_parameters(use_case, store.bucket, settings, source_version)
    else:
        spec, parameters = load_template(run, settings.project), run.parameters
    return PipelineRecipe(
        use_case=use_case.name,
        name=name,
        template=run.template,
        spec=spec,
        parameters=parameters,
        root=(run.root or store.uri(Layout(use_case.name).pipelines)).rstrip("/"),
        caching=run.caching,
        service_account=run.service_account,
    )


def require_pullable(name: str, run: PipelineRun) -> None:
    """Check that a pipeline's steps have an image that Vertex AI can pull.

    Source: https://cloud.google.com/vertex-ai/docs/pipelines/build-own-components (images are in
    Artifact Registry)

    Raises:
        TemplateError: the image's name has no registry.
    """
    registry, slash, _ = run.image.partition("/")
    if not slash or "." not in registry:
        raise TemplateError(
            f"pipelines.{name}.image is {run.image}, which Vertex AI cannot pull: build and push "
            "the image of deploy/Dockerfile, and name it with its registry, such as "
            "us-central1-docker.pkg.dev/my-project/genaiops/genaiops-dagster:0.1.0"
        )


def load_template(run: PipelineRun, project: str) -> dict[str, Any]:
    """The compiled pipeline that a run names.

    Raises:
        TemplateError: it cannot be read, or is not a compiled pipeline of KFP 2.
    """
    from google.cloud.aiplatform.utils.yaml_utils import load_yaml

    address = run.template
    if re.fullmatch(r"\w+", address):
        shipped = EXAMPLES / f"{address}.yaml"
        if not shipped.exists():
            known = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
            raise TemplateError(
                f"template {address!r} is not shipped; there are {', '.join((LIFECYCLE, *known))}. "
                "A file is named with its extension, such as pipelines/mine.yaml"
            )
        address = str(shipped)
    try:
        found = load_yaml(address, project, _credentials() if "://" in address else None)
    except Exception as error:
        raise TemplateError(f"template {run.template} cannot be read: {error}") from error
    spec = found.get("pipelineSpec", found) if isinstance(found, dict) else {}
    if "pipelineInfo" not in spec or "root" not in spec:
        raise TemplateError(
            f"template {run.template} is not a compiled pipeline: it has no pipelineInfo and root. "
            "Compile it with kfp.compiler.Compiler().compile(pipeline, 'pipeline.yaml')"
        )
    return dict(spec)


def _credentials() -> Any:
    import google.auth

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return credentials
