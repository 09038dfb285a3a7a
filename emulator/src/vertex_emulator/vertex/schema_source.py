"""The schema of the Vertex AI API, read from the client libraries that are installed.

`python -m vertex_emulator.vertex.schema_source` writes it to `schema.json`; do so after
a change of `ROOTS` or of the libraries' pinned versions.
"""

from __future__ import annotations

import inspect
import json
import re
from enum import Enum
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from vertex_emulator.vertex.schema_form import FILE, ROOTS, Field, Schema, installed_versions

_PACKAGE = "google.cloud.aiplatform.v1beta1."
_NOT_ON_VERTEX = re.compile(r"not supported in (?:Vertex|Gemini Enterprise)", re.IGNORECASE)

# Where the proto type and the class of google.genai are not called the same.
_GENAI_NAMES = {
    "Tool.GoogleSearch": "GoogleSearch",
    "GenerationConfig.ThinkingConfig": "ThinkingConfig",
    "Tool.ComputerUse": "ComputerUse",
    "CachedContent.UsageMetadata": "CachedContentUsageMetadata",
}
# Where a class of google.genai has the name of a proto type but is the library's own.
_LIBRARYS_OWN = {"Metric", "Model", "Endpoint"}
_LIBRARYS_OWN_FIELDS = {"sdk_http_response", "http_options", "model_selection_config"}
# What the clients write into a request without a class of the message in google.genai
# (`google/genai/models.py`, `_GenerateContentConfig_to_vertex`; `agentplatform/_genai/evals.py`).
_REQUEST_FIELDS: dict[str, dict[str, Any]] = {
    "GenerateContentRequest": {
        "service_tier": "ServiceTier",
        "output_config": "GenerationOutputConfig",
        "continuation_token": str,
    },
    "EvaluateInstancesRequest": {"allow_cross_region_model": bool},
}


def read_schema() -> Schema:
    """The schema of the installed libraries, which takes about two seconds to import and read."""
    from google.cloud.aiplatform_v1beta1 import types
    from google.genai import types as genai_types

    found = Schema()
    for name in ROOTS:
        _add_proto(found, getattr(types, name).pb().DESCRIPTOR)
    for name in list(found.messages):
        _join(found, name, genai_types)
    return found


def _add_proto(found: Schema, descriptor: Any) -> None:
    name = _short(descriptor.full_name)
    if name in found.messages:
        return
    found.messages[name] = {}
    for item in descriptor.fields:
        value, mapped = item, False
        if item.message_type is not None and item.message_type.GetOptions().map_entry:
            value, mapped = item.message_type.fields_by_name["value"], True
        kind, type_name = _proto_kind(value)
        if kind == "message":
            _add_proto(found, value.message_type)
        elif kind == "enum":
            found.enums[type_name] = {v.name: v.number for v in value.enum_type.values}
        oneof = item.containing_oneof
        repeated = item.is_repeated and not mapped
        group = "" if oneof is None or oneof.name.startswith("_") else oneof.name
        found.add(name, Field(item.name, kind, type_name, repeated, mapped, group))


_WELL_KNOWN = {
    "google.protobuf.Struct": "struct",
    "google.protobuf.Value": "value",
    "google.protobuf.ListValue": "list",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
    "google.protobuf.FieldMask": "fieldmask",
    "google.protobuf.Any": "struct",
}
_SCALARS = {
    "double": (1,),
    "float": (2,),
    "int64": (3, 16, 18),
    "uint64": (4, 6),
    "int32": (5, 15, 17),
    "uint32": (7, 13),
    "bool": (8,),
    "string": (9,),
    "bytes": (12,),
}
_KIND_OF_NUMBER = {number: kind for kind, numbers in _SCALARS.items() for number in numbers}


def _proto_kind(item: Any) -> tuple[str, str]:
    if item.enum_type is not None:
        return "enum", _short(item.enum_type.full_name)
    if item.message_type is not None:
        full_name = item.message_type.full_name
        if full_name in _WELL_KNOWN:
            return _WELL_KNOWN[full_name], ""
        return "message", _short(full_name)
    return _KIND_OF_NUMBER[item.type], ""


def _join(found: Schema, name: str, genai_types: Any) -> None:
    """Add what only google.genai knows of the message `name`."""
    for field_name, annotation in _REQUEST_FIELDS.get(name, {}).items():
        if isinstance(annotation, str):
            annotation = getattr(genai_types, annotation)
        _add_genai_field(found, name, field_name, annotation)
    if name in _LIBRARYS_OWN:
        return
    model = getattr(genai_types, _GENAI_NAMES.get(name, name), None)
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        return
    for field_name, info in model.model_fields.items():
        if field_name in _LIBRARYS_OWN_FIELDS or _NOT_ON_VERTEX.search(info.description or ""):
            continue
        _add_genai_field(found, name, field_name, info.annotation)


def _add_genai_field(found: Schema, message: str, field_name: str, annotation: Any) -> None:
    annotation = _without_none(annotation)
    known = found.messages[message].get(field_name)
    if known is not None:
        if known.kind == "enum":
            value = _without_none((*get_args(annotation), annotation)[0])
            if inspect.isclass(value) and issubclass(value, Enum):
                _add_enum(found, known.type, value)
        return
    repeated = get_origin(annotation) is list
    mapped = get_origin(annotation) is dict and get_args(annotation)[1] is not Any
    if repeated or mapped:
        annotation = _without_none(get_args(annotation)[-1])
    kind, type_name = _genai_kind(found, annotation)
    found.add(message, Field(field_name, kind, type_name, repeated, mapped))


def _genai_kind(found: Schema, annotation: Any) -> tuple[str, str]:
    plain = {str: "string", bool: "bool", int: "int64", float: "double", bytes: "bytes"}
    if annotation in plain:
        return plain[annotation], ""
    if not inspect.isclass(annotation):
        return "value", ""
    if issubclass(annotation, Enum):
        _add_enum(found, annotation.__name__, annotation)
        return "enum", annotation.__name__
    if annotation.__name__ == "datetime":
        return "timestamp", ""
    if not issubclass(annotation, BaseModel):
        return "value", ""
    name = annotation.__name__
    if name not in found.messages:
        found.messages[name] = {}
        for field_name, info in annotation.model_fields.items():
            _add_genai_field(found, name, field_name, info.annotation)
    return "message", name


def _add_enum(found: Schema, name: str, values: type[Enum]) -> None:
    known = found.enums.setdefault(name, {})
    for value in values:
        known.setdefault(str(value.value), None)
        known.setdefault(value.name, None)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) is Union:
        options = [option for option in get_args(annotation) if option is not type(None)]
        return options[0] if len(options) == 1 else Any
    return annotation


def _short(full_name: str) -> str:
    return str(full_name).removeprefix(_PACKAGE)


def write() -> None:
    """Write the schema of the installed libraries to `schema.json`, one message or enum a line."""
    found = read_schema().plain()
    sections = [
        f'"versions":{json.dumps(installed_versions())}',
        f'"roots":{json.dumps(ROOTS)}',
        *(f'"{section}":{{\n{_lines(found[section])}\n}}' for section in ("messages", "enums")),
    ]
    FILE.write_text("{" + ",\n".join(sections) + "}\n")


def _lines(entries: dict[str, Any]) -> str:
    return ",\n".join(
        f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'))}"
        for name, entry in sorted(entries.items())
    )


if __name__ == "__main__":
    write()
