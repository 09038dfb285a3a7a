"""The `champion` alias in the Model Registry, for those who look a model up there.

Each tuning job makes a model of its own, and an alias is unique only within one model: the alias
moves by adding it to the new champion's version and removing it from the former champion's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from genaiops_dagster.tuning.jobs import USE_CASE_LABEL, belongs_to

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1 import Model, ModelServiceClient

    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

ALIAS = "champion"


def list_models(vertex_ai: VertexAI, use_case: str) -> Iterable[Model]:
    """Every tuned model of a use case, of those that belong to its bucket.

    Tuning jobs label their models with both.
    """
    request = {
        "parent": vertex_ai.parent,
        "filter": f'labels.{USE_CASE_LABEL}="{use_case}"',
    }
    bucket = vertex_ai.settings.bucket
    found: Iterable[Model] = vertex_ai.models.list_models(request=request)
    return (model for model in found if belongs_to(bucket, model.labels))


class Registry:
    """The models of one use case.

    Args:
        vertex_ai: Clients of the project.
        use_case: Name of the use case.
    """

    def __init__(self, vertex_ai: VertexAI, use_case: str) -> None:
        self._vertex_ai = vertex_ai
        self._use_case = use_case

    @property
    def _models(self) -> ModelServiceClient:
        return self._vertex_ai.models

    def tuned_models(self) -> list[tuple[str, bool]]:
        """Every model of the use case with its default version, and whether that is `champion`."""
        return [
            (f"{model.name.partition('@')[0]}@{model.version_id}", ALIAS in model.version_aliases)
            for model in list_models(self._vertex_ai, self._use_case)
        ]

    def has_alias(self, model: str) -> bool:
        """Whether a model version is called `champion`; one that no longer exists is not.

        Args:
            model: Resource name with version, such as `projects/p/locations/l/models/1@1`.
        """
        from google.api_core.exceptions import NotFound

        try:
            return ALIAS in self._models.get_model(name=model).version_aliases
        except NotFound:
            return False

    def add_alias(self, model: str) -> None:
        """Call a model version `champion`; another version of the same model loses the name.

        Source: https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.models/mergeVersionAliases

        Raises:
            google.api_core.exceptions.NotFound: there is no such model version.
        """
        self._models.merge_version_aliases(name=model, version_aliases=[ALIAS])

    def remove_alias(self, model: str) -> None:
        """No longer call a model version `champion`, if it is."""
        if self.has_alias(model):
            self._models.merge_version_aliases(name=model, version_aliases=[f"-{ALIAS}"])
