"""Reads a compiled pipeline: its tasks, what they wait for, and their inputs.

The form is the `PipelineSpec` of KFP, schema 2.1, read as plain JSON:
https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.vertex.pipeline_conditions import parse_condition

Document = dict[str, Any]

_EXECUTOR = "kfp.dsl.executor_main"
_PIP = re.compile(r"pip install (.*?)\s*&&", re.DOTALL)
_PIP_OPTIONS_WITH_VALUE = {"--index-url", "--extra-index-url", "--trusted-host", "-i"}
_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def check_spec(spec: Document) -> None:
    """Refuse a file that is not a pipeline, or asks for what is not served.

    Raises:
        ApiError: 400 for a spec that is broken, 501 for a part that is not served, and 400
            FAILED_PRECONDITION for packages that are not installed here.
    """
    try:
        _check(spec)
    except (AttributeError, KeyError, TypeError) as error:
        raise ApiError(
            400, f"pipeline_spec is not of the form of a compiled pipeline: {error!r}."
        ) from error


def check_parameters(spec: Document, given: Mapping[str, Any]) -> None:
    """Refuse parameters that are unknown, missing or of another type.

    Raises:
        ApiError: 400 with the parameter's name.
    """
    inputs = spec["root"].get("inputDefinitions", {})
    if inputs.get("artifacts"):
        raise not_served("input artifacts of pipelines")
    known = inputs.get("parameters", {})
    for name, value in given.items():
        if name not in known:
            raise ApiError(
                400,
                f"The pipeline has no input parameter {name!r}; it has"
                f" {', '.join(sorted(known)) or 'none'}.",
            )
        kind = known[name].get("parameterType", "STRING")
        fits = isinstance(value, _TYPES.get(kind, (object,)))
        if not fits or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise ApiError(400, f"The input parameter {name!r} must be a {kind}, not {value!r}.")
    for name, definition in known.items():
        if not (name in given or "defaultValue" in definition or definition.get("isOptional")):
            raise ApiError(400, f"The input parameter {name!r} has no value and no default.")


def defaults(component: Document, given: Mapping[str, Any]) -> Document:
    """Parameters of a component: those given, and the defaults of the others."""
    known = component.get("inputDefinitions", {}).get("parameters", {})
    kept = {name: item["defaultValue"] for name, item in known.items() if "defaultValue" in item}
    return {**kept, **given}


def upstream(task: Document) -> set[str]:
    """Names of the tasks of the same DAG that must end before this one starts."""
    inputs = task.get("inputs", {})
    producers = {
        source[key]["producerTask"]
        for kind, key in (
            ("parameters", "taskOutputParameter"),
            ("artifacts", "taskOutputArtifact"),
        )
        for source in inputs.get(kind, {}).values()
        if key in source
    }
    return producers | set(task.get("dependentTasks", []))


def arguments(
    task: Document, scope: Mapping[str, Any], produced: Mapping[str, Mapping[str, Any]]
) -> Document:
    """The inputs of a task: `parameters` by value, `artifacts` as lists of resource names.

    Args:
        task: Its spec.
        scope: Inputs of the DAG that contains it, in the same form.
        produced: Outputs of the DAG's finished tasks, in the same form, by task name.
    """
    found: Document = {"parameters": {}, "artifacts": {}}
    inputs = task.get("inputs", {})
    for name, source in inputs.get("parameters", {}).items():
        if "runtimeValue" in source:
            found["parameters"][name] = source["runtimeValue"]["constant"]
        elif "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            found["parameters"][name] = _output(
                produced, output["producerTask"], "parameters", output["outputParameterKey"]
            )
        elif source["componentInputParameter"] in scope["parameters"]:
            found["parameters"][name] = scope["parameters"][source["componentInputParameter"]]
    for name, source in inputs.get("artifacts", {}).items():
        if "taskOutputArtifact" in source:
            output = source["taskOutputArtifact"]
            found["artifacts"][name] = _output(
                produced, output["producerTask"], "artifacts", output["outputArtifactKey"]
            )
        elif source["componentInputArtifact"] in scope["artifacts"]:
            found["artifacts"][name] = scope["artifacts"][source["componentInputArtifact"]]
    return found


def is_triggered(task: Document, inputs: Document) -> bool:
    """Whether a task's condition holds; one without a condition always runs."""
    condition = task.get("triggerPolicy", {}).get("condition")
    return not condition or parse_condition(condition)(inputs["parameters"])


def iterations(task: Document, inputs: Document) -> list[Document] | None:
    """The inputs of each pass of a loop; None for a task that is not a loop."""
    loop = task.get("parameterIterator")
    if loop is None:
        return None
    source = loop["items"]
    items = json.loads(source["raw"]) if "raw" in source else None
    if items is None:
        items = inputs["parameters"][source["inputParameter"]]
    return [
        {**inputs, "parameters": {**inputs["parameters"], loop["itemInput"]: item}}
        for item in items
    ]


def collected(passes: Sequence[Document]) -> Document:
    """The outputs of a loop: lists of the outputs of its passes."""
    found: Document = {"parameters": {}, "artifacts": {}}
    for outputs in passes:
        for name, value in outputs["parameters"].items():
            found["parameters"].setdefault(name, []).append(value)
        for name, artifacts in outputs["artifacts"].items():
            found["artifacts"].setdefault(name, []).extend(artifacts)
    return found


def dag_outputs(component: Document, produced: Mapping[str, Mapping[str, Any]]) -> Document:
    """The outputs of a DAG, from the outputs of those of its tasks that were triggered."""
    outputs = component["dag"].get("outputs", {})
    found: Document = {"parameters": {}, "artifacts": {}}
    for name, source in outputs.get("parameters", {}).items():
        chosen = source["valueFromParameter"]
        if chosen["producerSubtask"] not in produced:
            continue
        found["parameters"][name] = _output(
            produced, chosen["producerSubtask"], "parameters", chosen["outputParameterKey"]
        )
    for name, source in outputs.get("artifacts", {}).items():
        for chosen in source["artifactSelectors"]:
            if chosen["producerSubtask"] not in produced:
                continue
            found["artifacts"].setdefault(name, []).extend(
                _output(
                    produced, chosen["producerSubtask"], "artifacts", chosen["outputArtifactKey"]
                )
            )
    return found


def cache_key(spec: Document, component: Document, inputs: Document) -> str:
    """Hex digest of everything that decides a task's outputs.

    Inputs by value or artifact id, output definitions, image, command, arguments and environment,
    within pipelines of one name:
    https://cloud.google.com/vertex-ai/docs/pipelines/configure-caching
    """
    container = executor(spec, component)
    parts = [spec["pipelineInfo"]["name"], inputs, component.get("outputDefinitions"), container]
    text = json.dumps(_canonical(parts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def executor(spec: Document, component: Document) -> Document:
    """How a component is executed."""
    found: Document = spec["deploymentSpec"]["executors"][component["executorLabel"]]
    return found


def without_installation(container: Document) -> Document:
    """The container without the part of its command that installs packages."""
    command = container["command"]
    return {**container, "command": command[3:]} if _installs(command) else container


def _output(produced: Mapping[str, Mapping[str, Any]], task: str, kind: str, key: str) -> Any:
    try:
        return produced[task][kind][key]
    except KeyError:
        raise KeyError(f"The task {task} has no output {key!r}.") from None


def _canonical(value: Any) -> Any:
    """Whole numbers as integers: a `Struct` has one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return value


def _check(spec: Document) -> None:
    if not spec.get("pipelineInfo", {}).get("name") or "dag" not in spec.get("root", {}):
        raise ApiError(400, "pipeline_spec has no pipelineInfo.name or no root DAG.")
    schema = str(spec.get("schemaVersion", ""))
    if not re.match(r"2\.[1-9]", schema):
        raise not_served(f"pipelines of schema version {schema or '(none)'}, only 2.1")
    spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {}).items()
    _check_dag(spec, spec["root"], str(spec["pipelineInfo"]["name"]))


def _check_dag(spec: Document, component: Document, where: str) -> None:
    for task_name, task in component["dag"].get("tasks", {}).items():
        place = f"task {task_name!r} of {where}"
        policy = task.get("triggerPolicy", {})
        waits_for_all = policy.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
        for what, asked in (
            ("exit handlers", waits_for_all),
            ("loops over artifacts", task.get("artifactIterator")),
        ):
            if asked:
                raise not_served(f"{what} of pipelines ({place})")
        if policy.get("condition"):
            parse_condition(policy["condition"])
        for source in task.get("inputs", {}).get("parameters", {}).values():
            if "taskFinalStatus" in source or source.get("parameterExpressionSelector"):
                raise not_served(f"final states and selectors as inputs ({place})")
        inner = spec.get("components", {}).get(task.get("componentRef", {}).get("name"))
        if inner is None:
            raise ApiError(400, f"pipeline_spec has no component for {place}.")
        if "dag" in inner:
            _check_dag(spec, inner, f"{where}/{task_name}")
        else:
            _check_executor(executor(spec, inner), place)
    outputs = component["dag"].get("outputs", {}).get("parameters", {})
    if any("valueFromParameter" not in source for source in outputs.values()):
        raise not_served(f"outputs of one of several tasks (dsl.OneOf, in {where})")


def _check_executor(found: Document, place: str) -> None:
    if "importer" in found:
        return
    container = found.get("container", {})
    command = container.get("command", [])
    is_python = any(_EXECUTOR in part for part in command)
    if not is_python or command[:3] == ["python3", "-m", _EXECUTOR]:
        raise not_served(
            f"container components ({place}, image {container.get('image')!r}): there are no"
            " containers here, only lightweight Python components run"
        )
    missing = [text for text in _requirements(command) if not _is_installed(text)]
    if missing:
        raise ApiError(
            400,
            f"{place} installs {', '.join(missing)}, which the emulator's Python does not have, and"
            " the emulator fetches no packages. Install them next to genaiops-dagster, or give the"
            " component no packages_to_install.",
            status="FAILED_PRECONDITION",
        )


def _installs(command: list[str]) -> bool:
    return command[:2] == ["sh", "-c"] and len(command) > 3 and "pip install" in command[2]


def _requirements(command: list[str]) -> Iterator[str]:
    """What the command of a lightweight component installs; any version of KFP itself will do."""
    if not _installs(command):
        return
    for words in _PIP.findall(command[2]):
        rest = iter(shlex.split(words))
        for word in rest:
            if word in _PIP_OPTIONS_WITH_VALUE:
                next(rest, None)
            elif not word.startswith("-") and not re.match(r"kfp\b", word):
                yield word


def _is_installed(text: str) -> bool:
    try:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate():
            return True
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except (InvalidRequirement, PackageNotFoundError):
        return False
