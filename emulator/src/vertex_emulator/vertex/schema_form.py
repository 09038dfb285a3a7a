"""The form in which the schema of the Vertex AI API is held, kept and read."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("schema.json")

ROOTS = (
    "AddContextArtifactsAndExecutionsRequest",
    "AddContextChildrenRequest",
    "AddExecutionEventsRequest",
    "Artifact",
    "BatchPredictionJob",
    "CachedContent",
    "ComputeTokensRequest",
    "Context",
    "CountTokensRequest",
    "EmbedContentRequest",
    "Endpoint",
    "EvaluateInstancesRequest",
    "Execution",
    "GenerateContentRequest",
    "GenerateInstanceRubricsRequest",
    "MergeVersionAliasesRequest",
    "MetadataStore",
    "Model",
    "PipelineJob",
    "PredictRequest",
    "RemoveContextChildrenRequest",
    "TuningJob",
    "UndeployModelRequest",
)


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        proto_name: Its name in the proto, in snake_case.
        kind: `message`, `enum` or the name of a scalar type in proto's JSON mapping.
        type: Name of the message or enum; empty for a scalar.
        repeated: Whether its value is a list.
        mapped: Whether its value is an object from string keys to values of `kind`.
        oneof: Name of the group of which only one field may be set; empty for none.
        name: Its JSON name, in lowerCamelCase; made from `proto_name`.
    """

    proto_name: str
    kind: str
    type: str = ""
    repeated: bool = False
    mapped: bool = False
    oneof: str = ""
    name: str = ""


@dataclass
class Schema:
    """Fields by message and by any of the field's names; numbers by enum and value name."""

    messages: dict[str, dict[str, Field]] = field(default_factory=dict)
    enums: dict[str, dict[str, int | None]] = field(default_factory=dict)

    def add(self, message: str, item: Field) -> None:
        """Add a field to `message` under each of its names."""
        first, *rest = item.proto_name.rstrip("_").split("_")
        item = item._replace(name=first + "".join(word[:1].upper() + word[1:] for word in rest))
        fields = self.messages.setdefault(message, {})
        for name in (item.proto_name, item.proto_name.rstrip("_"), item.name):
            fields.setdefault(name, item)

    def plain(self) -> dict[str, Any]:
        """The schema as JSON; `from_plain` reads it."""
        messages = {
            name: [list(item[:-1]) for item in dict.fromkeys(fields.values())]
            for name, fields in self.messages.items()
        }
        return {"messages": messages, "enums": self.enums}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Schema:
        """The schema that `plain` wrote."""
        found = cls({name: {} for name in plain["messages"]}, plain["enums"])
        for name, fields in plain["messages"].items():
            for item in fields:
                found.add(name, Field(*item))
        return found


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that the schema is read from; empty for one that is missing."""
    versions = {}
    for name in ("google-cloud-aiplatform", "google-genai"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = ""
    return versions
