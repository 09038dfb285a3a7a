"""Function calling: whether the emulated model calls a function, which one, and its arguments.

The modes are those of https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
(`FunctionCallingConfig`). In AUTO the emulator calls the function whose name or description shares
most words with the last message of the user, if it shares any that matter.
"""

from __future__ import annotations

import json
from random import Random

from vertex_emulator.errors import ApiError
from vertex_emulator.models.text import content_words
from vertex_emulator.vertex.json_schema import Choose, Filler, plain_schema
from vertex_emulator.vertex.messages import Document

_COMMON = frozenset(
    [
        *("get", "set", "list", "find", "search", "create", "update", "delete", "add", "remove"),
        *("current", "make", "call", "fetch", "run", "show", "given", "returns", "return"),
        *("function", "value", "data", "information", "specified"),
    ]
)


def declarations(request: Document) -> list[Document]:
    """All function declarations of a request."""
    return [
        declaration
        for tool in request.get("tools", [])
        for declaration in tool.get("functionDeclarations", [])
    ]


def choose_call(request: Document, message: str, choose: Choose, dice: Random) -> Document | None:
    """The `FunctionCall` document that the model answers with; None when it answers in words.

    Args:
        request: A `GenerateContentRequest` document.
        message: Text of the last message.
        choose: Picks one of several strings, as the model would.
        dice: Decides what the message does not.

    Raises:
        ApiError: 400 when the calling config contradicts the declarations.
    """
    declared = declarations(request)
    config = request.get("toolConfig", {}).get("functionCallingConfig", {})
    mode = config.get("mode", "AUTO")
    allowed = config.get("allowedFunctionNames", [])
    names = [declaration.get("name", "") for declaration in declared]
    unknown = [name for name in allowed if name not in names]
    if unknown:
        raise ApiError(400, f"allowed_function_names has {unknown[0]!r}, which no tool declares.")
    if mode == "NONE" or not declared:
        return None
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise ApiError(
            400, "Allowed function names should only be set when function calling mode is ANY."
        )
    choices = [item for item in declared if not allowed or item.get("name") in allowed]
    asked = {_stem(word) for word in content_words(message)}
    scores = [_relevance(item, asked) for item in choices]
    best = max(range(len(choices)), key=scores.__getitem__)
    if mode != "ANY" and (scores[best] == 0 or answers_call(request)):
        return None
    return {
        "name": choices[best].get("name", ""),
        "args": _arguments(choices[best], message, choose, dice),
    }


def _relevance(declaration: Document, asked: set[str]) -> int:
    name = _words(declaration.get("name", "").replace("_", " "))
    description = _words(declaration.get("description", "")) - name
    by_description = len(description & asked)
    return 2 * len(name & asked) + (by_description if by_description > 1 else 0)


def _words(text: str) -> set[str]:
    return {_stem(word) for word in content_words(text) if word not in _COMMON}


def _stem(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 else word


def _arguments(declaration: Document, message: str, choose: Choose, dice: Random) -> Document:
    schema = declaration.get("parametersJsonSchema")
    if schema is None:
        schema = plain_schema(declaration.get("parameters", {}))
    if not schema:
        return {}
    filler = Filler(
        schema,
        text=message,
        choose=choose,
        dice=dice,
        only_required=True,
        shorten=True,
    )
    value = filler.value()
    return value if isinstance(value, dict) else {}


def answers_call(request: Document) -> bool:
    """Whether the conversation ends with the response of a function."""
    contents = request.get("contents", [])
    return bool(contents) and any(
        "functionResponse" in part for part in contents[-1].get("parts", [])
    )


def read_responses(request: Document) -> str:
    """An answer in words from the function responses that the conversation ends with."""
    sentences = []
    for part in request["contents"][-1]["parts"]:
        if "functionResponse" in part:
            response = part["functionResponse"]
            value = response.get("response", {})
            for key in ("output", "result"):
                value = value[key] if isinstance(value, dict) and list(value) == [key] else value
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            sentences.append(f"{response.get('name', 'The function')} says: {shown}.")
    return " ".join(sentences)
