"""What a request says to the model: system instruction, turns and the tokens they take."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.models.language_model import Turn
from vertex_emulator.vertex import media, tokens
from vertex_emulator.vertex.messages import Document, decode_base64

_LEARN_MORE = (
    " Learn more: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"
)
_ROLES = ("user", "model", "function")
_UNREAD_PARTS = {
    "executableCode": "executableCode parts",
    "codeExecutionResult": "codeExecutionResult parts",
    "toolCall": "toolCall parts",
    "toolResponse": "toolResponse parts",
}


@dataclass(frozen=True)
class Prompt:
    """A conversation as the emulated models take it.

    Attributes:
        system: Text of the system instruction; empty when there is none.
        turns: The conversation, oldest first.
        tokens: Tokens by modality (`TEXT`, `IMAGE`, `VIDEO`, `AUDIO`, `DOCUMENT`), those of cached
            content among them.
        cached: Tokens of cached content by modality.
    """

    system: str
    turns: list[Turn]
    tokens: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)

    @property
    def token_count(self) -> int:
        """Tokens of all modalities."""
        return self.tokens.total()

    def after(self, start: Prompt) -> Prompt:
        """This prompt behind the cached one that it continues."""
        return Prompt(
            start.system or self.system,
            [*start.turns, *self.turns],
            start.tokens + self.tokens,
            start.tokens,
        )


class PromptReader:
    """Reads the prompts of requests to one model.

    Args:
        read: Gives the bytes at a `gs://` address; ApiError 404 when there are none.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._counts: Counter[str] = Counter()
        self._resolution = ""

    def prompt(self, request: Document) -> Prompt:
        """The prompt of a request that has `contents`, `systemInstruction` and `tools`.

        Raises:
            ApiError: 400 when the contents break a rule of the API.
        """
        self._counts = Counter()
        config = request.get("generationConfig", {})
        self._resolution = _level(config.get("mediaResolution", ""))
        system = self._text(request.get("systemInstruction", {}).get("parts", []), "system")
        for tool in request.get("tools", []):
            for declaration in tool.get("functionDeclarations", []):
                self._counts["TEXT"] += tokens.count(json.dumps(declaration))
        turns, calls = [], 0
        for index, content in enumerate(request.get("contents", [])):
            place = f"contents[{index}]"
            role = content.get("role") or "user"
            if role not in _ROLES:
                raise ApiError(400, "Please use a valid role: user, model.")
            parts = content.get("parts", [])
            if not parts:
                raise ApiError(
                    400,
                    f"Unable to submit request because {place} must include at least one parts"
                    f" field.{_LEARN_MORE}",
                )
            _check_responses(parts, calls)
            calls = sum("functionCall" in part for part in parts)
            turns.append(Turn("model" if role == "model" else "user", self._text(parts, place)))
        return Prompt(system, turns, self._counts)

    def _text(self, parts: list[Document], place: str) -> str:
        texts = [self._part(part, f"{place}.parts[{i}]") for i, part in enumerate(parts)]
        return "\n".join(text for text in texts if text)

    def _part(self, part: Document, place: str) -> str:
        for name, words in _UNREAD_PARTS.items():
            if name in part:
                raise not_served(words)
        if "inlineData" in part:
            blob = part["inlineData"]
            return self._media(part, blob.get("mimeType", ""), decode_base64(blob.get("data", "")))
        if "fileData" in part:
            file = part["fileData"]
            uri = file.get("fileUri", "")
            if not uri.startswith("gs://"):
                raise not_served(f"file_uri of another kind than gs:// ({uri[:60]!r})")
            return self._media(part, file.get("mimeType", ""), self._read(uri))
        text = _plain_text(part)
        if text is None:
            raise ApiError(
                400,
                f"Unable to submit request because {place} has no data: text, inlineData, fileData,"
                f" functionCall or functionResponse.{_LEARN_MORE}",
            )
        self._counts["TEXT"] += tokens.count(text)
        return text

    def _media(self, part: Document, mime_type: str, data: bytes) -> str:
        level = part.get("mediaResolution", {}).get("level", "")
        resolution = _level(level) or self._resolution
        found = media.measure(part, mime_type, data, resolution)
        self._counts[found.modality] += found.tokens + tokens.count(found.text)
        return found.text


def _plain_text(part: Document) -> str | None:
    if "functionCall" in part:
        call = part["functionCall"]
        return f"{call.get('name', '')}({json.dumps(call.get('args', {}))})"
    if "functionResponse" in part:
        response = part["functionResponse"]
        return f"{response.get('name', '')} returned {json.dumps(response.get('response', {}))}"
    if part.get("text") == "" and "thoughtSignature" not in part:
        raise ApiError(
            400,
            "Unable to submit request because it has an empty text parameter. Add a value to the"
            f" parameter and try again.{_LEARN_MORE}",
        )
    text: str | None = part.get("text")
    return text


def _check_responses(parts: list[Document], calls: int) -> None:
    responses = sum("functionResponse" in part for part in parts)
    if responses and responses != calls:
        raise ApiError(
            400,
            "Please ensure that the number of function response parts is equal to the number of"
            " function call parts of the function call turn.",
        )


def _level(name: Any) -> str:
    """`LOW` of `MEDIA_RESOLUTION_LOW`; empty when unspecified."""
    level = str(name).removeprefix("MEDIA_RESOLUTION_")
    return "" if level == "UNSPECIFIED" else level


def has_media(request: Document) -> bool:
    """Whether reading the prompt of `request` may have to read files."""
    return any(
        "fileData" in part or "inlineData" in part
        for content in request.get("contents", [])
        for part in content.get("parts", [])
    )
