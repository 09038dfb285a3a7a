"""Requests that are broken in any way are refused, never met with an internal error."""

from __future__ import annotations

import copy
import json
import random
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from vertex_emulator.testing import RunningEmulator

CALL = json.dumps({"content": "", "tool_calls": [{"name": "a", "arguments": {"x": 1}}]})
EVALUATIONS = [
    {
        "rougeInput": {
            "metricSpec": {"rougeType": "rouge1", "splitSummaries": True},
            "instances": [{"prediction": "a b", "reference": "b c"}],
        }
    },
    {
        "toolParameterKvMatchInput": {
            "metricSpec": {},
            "instances": [{"prediction": CALL, "reference": CALL}],
        }
    },
    {
        "pointwiseMetricInput": {
            "metricSpec": {"metricPromptTemplate": "5: good\n1: bad\n{prompt} {response}"},
            "instance": {"jsonInstance": json.dumps({"prompt": "a", "response": "b"})},
        },
        "autoraterConfig": {"samplingCount": 2, "autoraterModel": "gemini-3.5-flash"},
    },
    {
        "metrics": [{"predefinedMetricSpec": {"metricSpecName": "general_quality_v1"}}],
        "instance": {
            "prompt": {"text": "hello world"},
            "response": {"contents": {"contents": [{"parts": [{"text": "hi"}]}]}},
            "rubricGroups": {"g": {"rubrics": [{"content": {"property": {"description": "x"}}}]}},
        },
    },
    {
        "metrics": [
            {
                "computationBasedMetricSpec": {
                    "type": "ROUGE",
                    "parameters": {"rouge_type": "rouge1"},
                }
            }
        ],
        "instance": {"reference": {"text": "x"}, "response": {"text": "y"}},
    },
]
JOB = {
    "baseModel": "gemini-3.5-flash",
    "supervisedTuningSpec": {
        "trainingDatasetUri": "gs://bucket/x.jsonl",
        "hyperParameters": {"epochCount": 3, "adapterSize": "ADAPTER_SIZE_ONE"},
    },
    "labels": {"a": "b"},
}
CONTEXT = {"displayName": "x", "schemaTitle": "system.Experiment", "metadata": {"a": 1}}
JUNK = (  # type: ignore[var-annotated]
    *(None, 0, -1, 1e308, 2**70, "", "x" * 5000, "\x00", "\ud800", True, [], {}, [[]]),
    *({"a": None}, ["a", 1], "gs://", "../../etc/passwd", "%00", "{prompt", '"', float("nan")),
)


def places(value: Any, path: Any = ()) -> Iterator[Any]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


def broken(body: Any, dice: Any) -> Any:
    """`body` with one to three values replaced, removed or added."""
    body = copy.deepcopy(body)
    for _ in range(dice.randint(1, 3)):
        found = list(places(body))
        if not found:
            return dice.choice(JUNK)
        *way, last = dice.choice(found)
        target = body
        for key in way:
            target = target[key]
        chance = dice.random()
        if chance < 0.7:
            target[last] = copy.deepcopy(dice.choice(JUNK))
        elif chance < 0.85:
            del target[last]
        elif isinstance(target, dict):
            target[dice.choice(["foo", "type", "text", "name"])] = copy.deepcopy(dice.choice(JUNK))
    return body


def post(url: Any, data: Any) -> Any:
    """Status and JSON of the answer."""
    request = urllib.request.Request(url, data=data, method="POST")
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("seed", range(4))
def test_broken_requests_are_client_errors(
    emulator: RunningEmulator, location: str, seed: Any
) -> None:
    dice = random.Random(seed)
    targets = [(":evaluateInstances", body) for body in EVALUATIONS]
    targets += [("/tuningJobs", JOB), ("/metadataStores/default/contexts", CONTEXT)]
    for _ in range(60):
        path, body = dice.choice(targets)
        data = json.dumps(broken(body, dice)).encode("utf-8", "surrogatepass")
        status, answer = post(f"{emulator.url}/v1beta1/{location}{path}", data)
        assert status in (200, 400, 404, 409, 501), (data, answer)
        assert status == 200 or answer["error"]["message"]


@pytest.mark.parametrize(
    "text", ["a=", '"', "((", 'a="b" AND', "foo(1)", "= b", "a b", "a<", "NOT", "in_context("]
)
def test_filters_that_cannot_be_read_are_refused(
    emulator: RunningEmulator, location: str, text: str
) -> None:
    query = urllib.parse.urlencode({"filter": text})
    for path in ("tuningJobs", "models"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{emulator.url}/v1/{location}/{path}?{query}")
        assert error.value.code == 400
        assert "filter" in json.load(error.value)["error"]["message"]


@pytest.mark.parametrize("query", ["pageSize=-1", "pageSize=x", "pageToken=nonsense"])
def test_pages_that_do_not_exist_are_refused(
    emulator: RunningEmulator, location: str, query: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{emulator.url}/v1/{location}/endpoints?{query}")
    assert error.value.code == 400
