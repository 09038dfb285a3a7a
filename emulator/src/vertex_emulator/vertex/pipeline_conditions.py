"""Conditions of tasks: what KFP's compiler writes for `dsl.If`, `dsl.Elif` and `dsl.Else`.

They are comparisons of input parameters and constants in the Common Expression Language, joined by
`&&` and turned round by `!(...)`: https://github.com/google/cel-spec
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from vertex_emulator.errors import ApiError, not_served

Parameters = Mapping[str, Any]
Condition = Callable[[Parameters], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<joint>&&|\|\|)|(?P<comparison>==|!=|<=|>=|<|>)|(?P<not>!)|(?P<open>\()|(?P<close>\))"
    r"|int\(\s*inputs\.parameter_values\['(?P<whole>[^']+)'\]\s*\)"
    r"|inputs\.parameter_values\['(?P<name>[^']+)'\]"
    r"|'(?P<text>[^'\\]*)'|(?P<truth>true|false)\b|(?P<number>-?\d+(?:\.\d+)?))"
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def parse_condition(text: str) -> Condition:
    """The function of a task's input parameters that a condition stands for.

    Raises:
        ApiError: 501 for an expression of another form.
    """
    return _Parser(text).whole()


class _Parser:
    """Recursive descent; `&&` binds tighter than `||`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        place, end = 0, len(text.rstrip())
        while place < end:
            match = _TOKEN.match(text, place)
            if match is None:
                raise self._refusal()
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            place = match.end()

    def whole(self) -> Condition:
        condition = self._any()
        if self._tokens:
            raise self._refusal()
        return condition

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._take("joint", "||"):
            parts.append(self._all())
        return lambda values: any(part(values) for part in parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._take("joint", "&&"):
            parts.append(self._one())
        return lambda values: all(part(values) for part in parts)

    def _one(self) -> Condition:
        if self._take("not"):
            inner = self._one()
            return lambda values: not inner(values)
        if self._take("open"):
            inner = self._any()
            if not self._take("close"):
                raise self._refusal()
            return inner
        left = self._operand()
        if not self._tokens or self._tokens[0][0] != "comparison":
            raise self._refusal()
        compare = _COMPARISONS[self._tokens.pop(0)[1]]
        right = self._operand()
        return lambda values: compare(left(values), right(values))

    def _operand(self) -> Callable[[Parameters], Any]:
        kind, text = self._tokens.pop(0) if self._tokens else ("", "")
        if kind == "name":
            return lambda values: values[text]
        if kind == "whole":
            return lambda values: int(values[text])
        constants: dict[str, Callable[[str], Any]] = {
            "text": str,
            "number": float,
            "truth": lambda word: word == "true",
        }
        if kind not in constants:
            raise self._refusal()
        constant = constants[kind](text)
        return lambda _: constant

    def _take(self, kind: str, text: str | None = None) -> bool:
        if not self._tokens or self._tokens[0][0] != kind or text not in (None, self._tokens[0][1]):
            return False
        self._tokens.pop(0)
        return True

    def _refusal(self) -> ApiError:
        return not_served(f"the condition {self._text!r} of a task")
