"""Options, keys and results that all assets of a use case share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import dagster as dg

from genaiops_dagster.orchestration.workspace import RESOURCES
from genaiops_dagster.use_case import UseCase

Stage = Literal[
    "data",
    "prompts",
    "budget",
    "pipelines",
    "tuning",
    "evaluation",
    "comparison",
    "promotion",
    "serving",
    "operations",
]

if TYPE_CHECKING:
    Materialized: TypeAlias = dg.MaterializeResult[Any]
else:
    # Dagster reads the annotation of an asset that also has checks, and takes no generic alias.
    Materialized = dg.MaterializeResult


def use_case_asset(
    use_case: UseCase, stage: Stage, *, path: Sequence[str] = (), **options: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """A decorator that makes an asset of a use case, which may call `open_workspace`.

    Args:
        use_case: Whose asset.
        stage: Part of the lifecycle it belongs to.
        path: Key of the asset below the use case's name; the function's name by default.
        options: Whatever else `dg.asset` takes.
    """
    if path:
        options |= {"key_prefix": [use_case.name, *path[:-1]], "name": path[-1]}
    decorate: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        **{**asset_options(use_case, stage), "required_resource_keys": set(RESOURCES), **options}
    )
    return decorate


def asset_options(use_case: UseCase, stage: Stage) -> dict[str, Any]:
    """Arguments that every asset of a use case passes to `dg.asset`: key, group, owners, stage."""
    return {
        "key_prefix": use_case.name,
        "group_name": use_case.name,
        "owners": use_case.owners,
        "tags": {"stage": stage},
    }


def asset_key(use_case: UseCase, *parts: str) -> dg.AssetKey:
    """Key of an asset of a use case, such as `asset_key(use_case, "examples")`."""
    return dg.AssetKey([use_case.name, *parts])


def inputs(use_case: UseCase, *names: str) -> dict[str, dg.AssetIn]:
    """Assets of a use case as the parameters of another one, by the same names."""
    return {name: dg.AssetIn(key=asset_key(use_case, name)) for name in names}


def map_specs(
    change: Callable[[dg.AssetSpec], dg.AssetSpec],
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec],
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The same assets with changed specs; checks and what is outside of Dagster stay as they are.

    Dagster's own `map_asset_specs` copies checks, too, and warns that this is beta.
    """
    return [
        asset.map_asset_specs(change)
        if isinstance(asset, dg.AssetsDefinition)
        and not isinstance(asset, dg.AssetChecksDefinition)
        else asset
        for asset in assets
    ]


def pipeline_key(use_case: UseCase, name: str) -> dg.AssetKey:
    """Key of the run of one of a use case's `pipelines`."""
    return asset_key(use_case, "vertex_pipeline_run", name)


def pipeline_keys(use_case: UseCase) -> list[dg.AssetKey]:
    """Keys of the pipelines that tune and evaluate first, where a use case has one.

    Assets that find what they made wait for them.
    """
    return [pipeline_key(use_case, name) for name in use_case.lifecycle_pipelines]
