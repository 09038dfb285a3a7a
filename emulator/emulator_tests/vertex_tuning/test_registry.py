"""Models, versions, aliases and endpoints over the Vertex AI SDK and the generated clients.

https://cloud.google.com/vertex-ai/docs/model-registry/model-alias
https://cloud.google.com/vertex-ai/docs/model-registry/versioning
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import google.auth
import pytest
from google import genai
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1
from google.cloud.aiplatform_v1.services.endpoint_service.transports import (
    EndpointServiceRestTransport,
)
from google.cloud.aiplatform_v1.services.model_service.transports import ModelServiceRestTransport
from google.genai import errors, types
from google.protobuf import field_mask_pb2

from vertex_emulator.testing import RunningEmulator

pytestmark = pytest.mark.filterwarnings("ignore:.*tuning implementation is experimental")


@pytest.fixture
def sdk(emulator: RunningEmulator) -> Any:
    """The high-level SDK over REST."""
    aiplatform.init(
        project=emulator.variables["GOOGLE_CLOUD_PROJECT"],
        location=emulator.variables["GOOGLE_CLOUD_LOCATION"],
        api_endpoint=emulator.url,
        api_transport="rest",
    )
    return aiplatform


@pytest.fixture
def models(emulator: RunningEmulator) -> aiplatform_v1.ModelServiceClient:
    credentials, _ = google.auth.default()
    host = emulator.url.removeprefix("http://")
    transport = ModelServiceRestTransport(host=host, url_scheme="http", credentials=credentials)
    return aiplatform_v1.ModelServiceClient(transport=transport)


@pytest.fixture
def endpoints(emulator: RunningEmulator) -> aiplatform_v1.EndpointServiceClient:
    credentials, _ = google.auth.default()
    host = emulator.url.removeprefix("http://")
    transport = EndpointServiceRestTransport(host=host, url_scheme="http", credentials=credentials)
    return aiplatform_v1.EndpointServiceClient(transport=transport)


@pytest.fixture
def tuned(tune: Callable[..., genai.types.TuningJob]) -> Any:
    return tune(epoch_count=2, tuned_model_display_name="colours").tuned_model


@pytest.fixture
def two_versions(tuned: Any, tune: Callable[..., genai.types.TuningJob]) -> str:
    """A model with two versions: its name without a version."""
    tune(base_model=tuned.model, epoch_count=1)
    return tuned.model.partition("@")[0]


def test_a_tuned_model_is_registered_with_its_endpoints(
    models: aiplatform_v1.ModelServiceClient,
    endpoints: aiplatform_v1.EndpointServiceClient,
    tuned: Any,
) -> None:
    model = models.get_model(name=tuned.model)
    assert model.name == tuned.model.partition("@")[0]
    assert (model.display_name, model.version_id) == ("colours", "1")
    assert list(model.version_aliases) == ["default"]
    assert {deployed.endpoint for deployed in model.deployed_models} == {
        checkpoint.endpoint for checkpoint in tuned.checkpoints
    }
    source = model.base_model_source.genie_source.base_model_uri
    assert source == "publishers/google/models/gemini-3.5-flash"
    endpoint = endpoints.get_endpoint(name=tuned.endpoint)
    assert endpoint.deployed_models[0].model == model.name
    assert endpoint.deployed_models[0].model_version_id == "1"


def test_an_alias_names_one_version_at_a_time(
    models: aiplatform_v1.ModelServiceClient, two_versions: str
) -> None:
    def aliases() -> Any:
        versions = models.list_model_versions(name=two_versions)
        return {version.version_id: set(version.version_aliases) for version in versions}

    assert aliases() == {"1": set(), "2": {"default"}}
    request = {"name": f"{two_versions}@1", "version_aliases": ["champion"]}
    changed = models.merge_version_aliases(**request)
    assert (changed.version_id, list(changed.version_aliases)) == ("1", ["champion"])
    models.merge_version_aliases(name=f"{two_versions}@2", version_aliases=["champion"])
    assert aliases() == {"1": set(), "2": {"default", "champion"}}
    assert models.get_model(name=f"{two_versions}@champion").version_id == "2"
    models.merge_version_aliases(name=f"{two_versions}@2", version_aliases=["-champion"])
    models.merge_version_aliases(name=f"{two_versions}@1", version_aliases=["default"])
    assert aliases() == {"1": {"default"}, "2": set()}
    assert models.get_model(name=two_versions).version_id == "1"


@pytest.mark.parametrize("aliases", [[], ["-default"], ["1"], ["Upper"], ["a_b"]])
def test_a_bad_alias_is_refused(
    models: aiplatform_v1.ModelServiceClient, tuned: Any, aliases: Any
) -> None:
    with pytest.raises(exceptions.BadRequest):
        models.merge_version_aliases(name=tuned.model, version_aliases=aliases)


def test_the_registry_of_the_sdk_moves_aliases(sdk: Any, two_versions: str) -> None:
    registry = sdk.models.ModelRegistry(two_versions)
    registry.add_version_aliases(["challenger"], version="1")
    versions = {info.version_id: info.version_aliases for info in registry.list_versions()}
    assert versions["1"] == ["challenger"]
    assert sdk.Model(two_versions, version="challenger").version_id == "1"
    registry.remove_version_aliases(["challenger"], version="1")
    with pytest.raises(exceptions.NotFound):
        sdk.Model(two_versions, version="challenger")


def test_models_are_found_by_name_and_label(
    sdk: Any, tune: Callable[..., genai.types.TuningJob]
) -> None:
    job = tune(tuned_model_display_name="findable", labels={"team": "blue"})
    name = job.tuned_model.model.partition("@")[0]
    for text in ('display_name="findable"', "labels.team=blue", 'display_name:"indabl"'):
        assert name in {model.resource_name for model in sdk.Model.list(filter=text)}
    assert sdk.Model.list(filter='display_name="nothing"') == []


def test_name_description_and_labels_can_be_changed(
    sdk: Any, models: aiplatform_v1.ModelServiceClient, tuned: Any
) -> None:
    sdk.Model(tuned.model).update(display_name="renamed", description="New", labels={"a": "b"})
    model = models.get_model(name=tuned.model)
    assert (model.display_name, model.description) == ("renamed", "New")
    assert dict(model.labels) == {"a": "b"}
    models.update_model(
        model=aiplatform_v1.Model(name=model.name, display_name="again", description="ignored"),
        update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
    )
    model = models.get_model(name=tuned.model)
    assert (model.display_name, model.description) == ("again", "New")


def test_the_default_checkpoint_can_be_chosen(client: genai.Client, tuned: Any) -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/models/tuning-checkpoints"""
    model = client.models.get(model=tuned.model)
    assert [checkpoint.checkpoint_id for checkpoint in model.checkpoints] == ["1", "2"]
    assert model.default_checkpoint_id == "2"
    config = types.UpdateModelConfig(default_checkpoint_id="1")
    assert client.models.update(model=tuned.model, config=config).default_checkpoint_id == "1"
    with pytest.raises(errors.ClientError):
        client.models.update(
            model=tuned.model, config=types.UpdateModelConfig(default_checkpoint_id="9")
        )


def test_a_model_is_deleted_after_its_endpoints(
    sdk: Any, client: genai.Client, two_versions: str
) -> None:
    model = sdk.Model(two_versions)
    with pytest.raises(exceptions.GoogleAPICallError, match="undeploy it first"):
        model.delete()
    registry = sdk.models.ModelRegistry(two_versions)
    deployed = [
        item["endpoint"]
        for version in ("1", "2")
        for item in sdk.Model(two_versions, version=version).to_dict()["deployedModels"]
    ]
    with pytest.raises(exceptions.GoogleAPICallError):
        sdk.Endpoint(deployed[0]).delete()
    for endpoint in deployed:
        sdk.Endpoint(endpoint).delete(force=True)
    with pytest.raises(errors.ClientError) as error:
        client.models.generate_content(model=deployed[0], contents="hello")
    assert error.value.code == 404
    with pytest.raises(exceptions.GoogleAPICallError, match="default version"):
        registry.delete_version("2")
    registry.delete_version("1")
    assert [version.version_id for version in registry.list_versions()] == ["2"]
    with pytest.raises(exceptions.GoogleAPICallError, match="only version"):
        registry.delete_version("2")
    model.delete()
    with pytest.raises(exceptions.NotFound):
        sdk.Model(two_versions)


def test_endpoints_are_listed_and_an_undeployed_one_answers_no_more(
    client: genai.Client, endpoints: aiplatform_v1.EndpointServiceClient, tuned: Any
) -> None:
    parent = tuned.endpoint.rpartition("/endpoints/")[0]
    listed = endpoints.list_endpoints(parent=parent)
    assert tuned.endpoint in {endpoint.name for endpoint in listed}
    number = endpoints.get_endpoint(name=tuned.endpoint).deployed_models[0].id
    operation = endpoints.undeploy_model(
        endpoint=tuned.endpoint, deployed_model_id=number, traffic_split={}
    )
    assert operation.done()
    assert not endpoints.get_endpoint(name=tuned.endpoint).deployed_models
    with pytest.raises(errors.ClientError) as error:
        client.models.generate_content(model=tuned.endpoint, contents="hello")
    assert error.value.code == 404


def test_what_is_not_served_says_so(
    models: aiplatform_v1.ModelServiceClient,
    endpoints: aiplatform_v1.EndpointServiceClient,
    tuned: Any,
) -> None:
    parent = tuned.endpoint.rpartition("/endpoints/")[0]
    with pytest.raises(exceptions.MethodNotImplemented, match="uploading models"):
        models.upload_model(parent=parent, model=aiplatform_v1.Model(display_name="x"))
    with pytest.raises(exceptions.MethodNotImplemented, match="creating endpoints"):
        endpoints.create_endpoint(parent=parent, endpoint=aiplatform_v1.Endpoint(display_name="x"))
