"""The `pipelines` section of a use case file: what runs on Vertex AI Pipelines."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt, model_validator

from genaiops_dagster.use_case.section import Section

LIFECYCLE = "lifecycle"
"""As a pipeline's `template`: preparing, tuning and evaluating of the use case itself."""

DEFAULT_IMAGE = "genaiops-dagster:latest"


class PipelineRun(Section):
    """One pipeline, with what it is run with."""

    template: str = Field(
        min_length=1,
        description="`lifecycle`, the name of a shipped example (`hello_world`, "
        "`pipeline_arguments`), a file, a `gs://` address or an address of a registry.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Values of the pipeline's input parameters."
    )
    caching: bool = Field(True, description="Whether unchanged steps are taken from the cache.")
    root: str | None = Field(
        None,
        pattern=r"^gs://[^/]+",
        description="Where outputs are kept; default a folder in the bucket.",
    )
    service_account: str | None = Field(
        None, description="E-mail address of the account that the steps run as; service default."
    )
    image: str = Field(
        DEFAULT_IMAGE, description="Image with this package, for the steps of `lifecycle`."
    )
    wait_seconds: PositiveInt = Field(
        7200, description="How long a step waits for the job before it ends as still running."
    )

    @model_validator(mode="after")
    def _fits_its_template(self) -> PipelineRun:
        if self.template == LIFECYCLE and self.parameters:
            raise ValueError("the parameters of template: lifecycle come from the use case")
        if self.template != LIFECYCLE and self.image != DEFAULT_IMAGE:
            raise ValueError("only template: lifecycle has an image; a template names its own")
        return self
