"""What is assumed of the model registry and of endpoints: filters, 404s, aliases."""

from __future__ import annotations

from genaiops_dagster.probe.assumption import NO_SOURCE, Assumption
from genaiops_dagster.probe.bench import PREFIX, Bench, refused
from genaiops_dagster.probe.outcome import expect
from genaiops_dagster.probe.tuning import model_of
from genaiops_dagster.promotion.registry import Registry, list_models
from genaiops_dagster.tuning.jobs import USE_CASE_LABEL

_REST = "https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations"
_MISSING = "1234567890123456789"


def _models(bench: Bench) -> str:
    found = list(list_models(bench.models, "genaiops-no-such-use-case"))
    expect(not found, f"{len(found)} models have a label that was never given")
    return f'the filter labels.{USE_CASE_LABEL}="..." is taken'


def _endpoints(bench: Bench) -> str:
    request = {
        "parent": bench.models.parent,
        "filter": f'labels.{USE_CASE_LABEL}="genaiops-no-such-use-case"',
    }
    found = list(bench.models.endpoints.list_endpoints(request=request))
    expect(not found, f"{len(found)} endpoints have a label that was never given")
    return f'the filter labels.{USE_CASE_LABEL}="..." is taken'


def _missing(bench: Bench) -> str:
    model = f"{bench.models.parent}/models/{_MISSING}@1"
    expect(not Registry(bench.models, PREFIX).has_alias(model), "a missing model has the alias")
    with refused(404) as seen:
        bench.models.models.get_model(name=model)
    with refused(404):
        bench.models.endpoints.get_endpoint(name=f"{bench.models.parent}/endpoints/{_MISSING}")
    return seen[0]


def _alias(bench: Bench) -> str:
    model, registry = model_of(bench), Registry(bench.models, PREFIX)
    registry.add_alias(model)
    expect(registry.has_alias(model), "the alias was merged, and is not there")
    registry.remove_alias(model)
    expect(not registry.has_alias(model), "the alias was removed, and is still there")
    found = bench.models.models.get_model(name=model)
    expect("default" in found.version_aliases, "the alias `default` is gone, too")
    return "merged, removed by '-champion', and `default` stays"


def _deployed(bench: Bench) -> str:
    found = bench.models.models.get_model(name=model_of(bench))
    expect(found.deployed_models, "the model names no endpoint that it is deployed at")
    return f"it names {len(found.deployed_models)} of them"


ASSUMPTIONS = (
    Assumption(
        "registry.label-filter",
        "Registry",
        "Models are listed with a filter of a label",
        f"{_REST}.models/list",
        "Promotion, prune and teardown do not find the models of a use case",
        _models,
    ),
    Assumption(
        "registry.endpoint-filter",
        "Registry",
        "Endpoints are listed with a filter of a label",
        f"{_REST}.endpoints/list",
        "Teardown leaves endpoints behind",
        _endpoints,
    ),
    Assumption(
        "registry.missing-404",
        "Registry",
        "A model version or an endpoint that does not exist is answered with 404",
        f"{_REST}.models/get",
        "A model that somebody deleted stops every later promotion",
        _missing,
    ),
    Assumption(
        "registry.alias",
        "Registry",
        "An alias is merged into a version, and removed by its name after a minus sign",
        f"{_REST}.models/mergeVersionAliases",
        "The registry shows a former champion as the present one, which stops promotions",
        _alias,
        spends=True,
    ),
    Assumption(
        "registry.deployed-models",
        "Registry",
        "A tuned model names the endpoints at which it is deployed",
        NO_SOURCE,
        "Prune and teardown cannot delete models, since their endpoints are not found",
        _deployed,
        spends=True,
    ),
)  # fmt: skip
