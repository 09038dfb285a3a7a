"""Metrics of structured answers: JSON values, and calls of tools.

Answers and expected outputs hold calls of tools as
`{"tool_calls": [{"name": ..., "arguments": {...}}]}`, as in
https://cloud.google.com/vertex-ai/generative-ai/docs/models/determine-eval#tool-use
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

Arguments = dict[str, Any]
Call = tuple[str, Arguments]
"""Name and arguments."""


class ExpectedOutputError(ValueError):
    """The expected output has not the form that the metric needs."""


def json_valid(answer: str, _: str) -> float:
    """1 when the whole answer is one JSON value, else 0."""
    try:
        json.loads(answer)
    except ValueError:
        return 0.0
    return 1.0


def json_match(answer: str, reference: str) -> float:
    """How much of two JSON values is the same: F1 of their fields with their values.

    An answer that is not JSON scores 0.

    Raises:
        ExpectedOutputError: the expected output is not JSON.
    """
    try:
        expected = Counter(_leaves(json.loads(reference)))
    except ValueError as error:
        raise ExpectedOutputError(f"the expected output is not JSON: {error}") from error
    try:
        found = Counter(_leaves(json.loads(answer)))
    except ValueError:
        return 0.0
    return 2 * (found & expected).total() / (found.total() + expected.total())


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and value of every field; empty objects and lists are values, too."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, json.dumps(value)


def tool_call_valid(answer: str, _: str) -> float:
    """1 when the answer calls tools in the right form, else 0."""
    return float(bool(_calls(answer)))


def tool_name_match(answer: str, reference: str) -> float:
    """1 when the answer calls the expected tools in their order, else 0.

    Raises:
        ExpectedOutputError: the expected output calls no tool.
    """
    expected = _expected(reference)
    return float([name for name, _ in _calls(answer)] == [name for name, _ in expected])


def tool_parameter_key_match(answer: str, reference: str) -> float:
    """Share of the expected calls' parameters that the answer's calls have, whatever the value.

    Raises:
        ExpectedOutputError: the expected output calls no tool.
    """
    return _parameter_share(answer, reference, lambda found, name, _: name in found)


def tool_parameter_kv_match(answer: str, reference: str) -> float:
    """Share of the expected calls' parameters that the answer's calls have with the same value.

    Raises:
        ExpectedOutputError: the expected output calls no tool.
    """
    return _parameter_share(
        answer, reference, lambda found, name, value: name in found and found[name] == value
    )


def _parameter_share(
    answer: str, reference: str, has: Callable[[Arguments, str, Any], bool]
) -> float:
    """Mean over the expected calls, paired in order; one without parameters wants none."""
    shares = []
    found_calls = _calls(answer)
    for index, (_, wanted) in enumerate(_expected(reference)):
        if index >= len(found_calls):
            shares.append(0.0)
            continue
        found = found_calls[index][1]
        matched = sum(has(found, name, value) for name, value in wanted.items())
        shares.append(matched / len(wanted) if wanted else float(not found))
    return sum(shares) / len(shares)


def _expected(reference: str) -> list[Call]:
    expected = _calls(reference)
    if not expected:
        raise ExpectedOutputError("the expected output has no `tool_calls` of name and arguments")
    return expected


def _calls(text: str) -> list[Call]:
    """The calls that a text makes; none when it has not their form."""
    try:
        calls = json.loads(text)["tool_calls"]
        found = [(call["name"], call.get("arguments", {})) for call in calls]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    fits = all(isinstance(name, str) and isinstance(a, dict) for name, a in found)
    return found if fits else []
