"""The lifecycle's heavy stages as a KFP pipeline, compiled for one use case.

What goes from step to step are addresses and digests; the data stays in the bucket. They are what
the cache goes by, so that a step whose data did not change is not run again.
"""

# KFP reads the annotations of components: no `from __future__ import annotations` here.

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.section import TUNED

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

_UNUSED = {"automation", "description", "owners", "pipelines", "serving"}
"""Sections that decide nothing of what the pipeline makes."""

KFP_REMEDY = "Vertex AI Pipelines need KFP: pip install 'genaiops-dagster[pipelines]'"


def lifecycle_parameters(
    use_case: UseCase, bucket: str, settings: "GoogleCloudSettings", source_version: str
) -> dict[str, Any]:
    """Values of the input parameters of a use case's lifecycle pipeline."""
    shortened = use_case.model_copy(update={"description": use_case.name})
    return {
        "definition": shortened.model_dump_json(exclude=_UNUSED - {"description"}),
        "place": {
            "project": settings.project,
            "location": settings.location,
            "bucket": bucket,
            "dataset": settings.dataset,
            "bigquery_location": settings.bigquery_location,
        },
        "source_version": source_version,
    }


def compile_lifecycle(use_case: UseCase, image: str) -> dict[str, Any]:
    """The compiled pipeline of a use case; the same use case gives the same pipeline.

    Its steps, one for each candidate and variant, run in `image`, which has this package.

    Raises:
        ImportError: KFP is not installed.
    """
    import yaml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            from kfp import compiler
    except ImportError as error:
        raise ImportError(KFP_REMEDY) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(_pipeline(use_case, image), str(path))
        found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def _pipeline(use_case: UseCase, image: str) -> Any:
    from kfp import dsl

    prepare_data, tune, evaluate = _components(image)

    @dsl.pipeline(
        name=f"{use_case.name.replace('_', '-')}-lifecycle",
        description=f"Prepares the data of {use_case.name}, tunes on it and evaluates.",
    )
    def lifecycle(definition: str, place: dict, source_version: str = "") -> None:  # type: ignore[type-arg]
        common = {"definition": definition, "place": place}
        data = prepare_data(**common, source_version=source_version)
        tuned = {}
        for variant in use_case.tuning.variants():
            step = tune(
                **common,
                training_set=data.outputs["training_set"],
                validation_set=data.outputs["validation_set"],
                prompt=data.outputs["prompt"],
                variant=variant or "",
            )
            tuned[variant] = step.set_display_name(f"tune {variant}" if variant else "tune")
        for name, candidate in use_case.candidates.items():
            model = tuned[candidate.variant].output if candidate.model == TUNED else ""
            evaluate(
                **common,
                candidate=name,
                evaluation_set=data.outputs["evaluation_set"],
                prompt=data.outputs["prompt"],
                tuned_model=model,
            ).set_display_name(f"evaluate {name}")

    return lifecycle


def _components(image: str) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The steps; their bodies stand alone in the container, and call this package there."""
    from kfp import dsl

    component = dsl.component(base_image=image, install_kfp_package=False)

    def prepare_data(
        definition: str,
        place: dict,  # type: ignore[type-arg]
        source_version: str,
    ) -> NamedTuple(  # type: ignore[valid-type]
        "Data",
        [("training_set", str), ("validation_set", str), ("evaluation_set", str), ("prompt", str)],
    ):
        from genaiops_dagster.pipelines import stages

        return stages.prepare_data(definition, place, source_version)

    def tune(
        definition: str,
        place: dict,  # type: ignore[type-arg]
        training_set: str,
        validation_set: str,
        prompt: str,
        variant: str,
    ) -> str:
        from genaiops_dagster.pipelines import stages

        return stages.tune(definition, place, training_set, validation_set, prompt, variant)

    def evaluate(
        definition: str,
        place: dict,  # type: ignore[type-arg]
        candidate: str,
        evaluation_set: str,
        prompt: str,
        tuned_model: str,
        metrics: dsl.Output[dsl.Metrics],
    ) -> str:
        from genaiops_dagster.pipelines import stages

        report, means = stages.evaluate(
            definition, place, candidate, evaluation_set, prompt, tuned_model
        )
        for name, mean in means.items():
            metrics.log_metric(name, mean)
        return report

    return component(prepare_data), component(tune), component(evaluate)
