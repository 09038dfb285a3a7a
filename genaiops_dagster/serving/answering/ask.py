"""One question to one model, with its answer streamed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genaiops_dagster.evaluation.asking.inference import Contents, Model, content_config
from genaiops_dagster.prompts.rendering import file_part, template_variables
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.prompts import PromptVersion

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

    from genaiops_dagster.google_cloud.object_store import ObjectStore


class QuestionError(ValueError):
    """A question that cannot be asked; the message says what is missing."""


@dataclass(frozen=True)
class Question:
    """A request to a model.

    Attributes:
        model: The model, how it generates, and what the service has to block.
        system_instruction: Part of the request; empty for none.
        contents: The turns.
        candidates: How many answers.
        schema: JSON schema that the answer must have; None for any text.
    """

    model: Model
    system_instruction: str
    contents: Contents
    candidates: int = 1
    schema: Mapping[str, Any] | None = None

    def config(self) -> types.GenerateContentConfig:
        """The request's config."""
        found = content_config(self.model, self.system_instruction)
        changes: dict[str, Any] = {}
        if self.candidates > 1:
            changes["candidate_count"] = self.candidates
        if self.schema is not None:
            changes["response_mime_type"] = "application/json"
            changes["response_json_schema"] = dict(self.schema)
        return found.model_copy(update=changes)


@dataclass(frozen=True)
class Response:
    """A whole response and when it came.

    Attributes:
        content: As the service said, its chunks put together.
        seconds: From request to the last chunk.
        seconds_to_first: From request to the first chunk.
    """

    content: types.GenerateContentResponse
    seconds: float
    seconds_to_first: float

    @property
    def texts(self) -> list[str]:
        """Text of each candidate, thoughts left out."""
        return [
            "".join(
                part.text
                for part in (candidate.content.parts if candidate.content else None) or []
                if part.text and not part.thought
            )
            for candidate in self.content.candidates or []
        ]


def fill_in(
    prompt: PromptVersion,
    text: str | None,
    given: Mapping[str, str],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """Values of the template's variables; `text` is the one that nothing else gives.

    Raises:
        QuestionError: a variable is unknown, missing, or it is not clear which one `text` is.
    """
    known = [*template_variables(prompt.template), *prompt.files]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise QuestionError(
            f"--var {unknown[0]}: the prompt has no such variable; it has: {', '.join(known)}"
        )
    values: dict[str, Any] = {**defaults, **given}
    values |= {name: None for name in prompt.files if name not in values}
    missing = [name for name in known if name not in values]
    if text is None and missing:
        raise QuestionError(f"give the text of {missing[0]}: --var {missing[0]}=...")
    if text is None:
        return values
    if len(missing) == 1:
        return {**values, missing[0]: text}
    if not missing:
        free = [name for name in known if name not in given and name not in prompt.files]
        raise QuestionError(
            "the text has no place: every variable of the prompt has a value; give it as "
            + (f"--var {free[0]}=..." if free else "--raw")
        )
    options = " ".join(f"--var {name}=..." for name in missing[1:])
    raise QuestionError(
        f"the prompt asks for {', '.join(missing)}, and it is not clear which of them the text "
        f"is: give all but one of them, as {options}, or serving.defaults in the use case file; "
        "--raw asks without the prompt"
    )


def attach(contents: Contents, files: Sequence[str], store: ObjectStore, use_case: str) -> Contents:
    """The same turns with files before the first one's own parts.

    A file of this machine is uploaded under its digest first: then there is no limit of 20 MB on
    the request, and what was asked can be looked up later.

    Args:
        contents: The turns.
        files: `gs://` addresses and paths; the ending says the type.
        store: Where files are uploaded to.
        use_case: Below whose prefix.

    Raises:
        QuestionError: a file does not exist.
        PromptError: the type of a file is not known.
    """
    if not files:
        return contents
    parts = [file_part("--file", _address(file, store, use_case)) for file in files]
    first, *others = contents
    return [{**first, "parts": [*filter(None, parts), *first["parts"]]}, *others]


def _address(file: str, store: ObjectStore, use_case: str) -> str:
    if file.startswith("gs://"):
        return file
    path = Path(file)
    if not path.is_file():
        raise QuestionError(f"--file {file}: no such file, and no gs:// address")
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        name = Layout(use_case).file(digest, path.suffix.lower())
        store.write_once(name, content, "application/octet-stream")
    return store.uri(name)


def stream(
    client: genai.Client, question: Question, on_text: Callable[[str], None], clock: Clock
) -> Response:
    """Ask, and pass the text of the first candidate to `on_text` as it comes.

    Raises:
        google.genai.errors.APIError: the service did not answer.
    """
    started = clock.elapsed()
    first: float | None = None
    chunks = []
    for chunk in client.models.generate_content_stream(
        model=question.model.address,
        contents=list(question.contents),
        config=question.config(),
    ):
        first = first or clock.elapsed()
        chunks.append(chunk)
        for candidate in chunk.candidates or []:
            parts = (candidate.content.parts if candidate.content else None) or []
            text = "".join(part.text for part in parts if part.text and not part.thought)
            if text and not candidate.index:
                on_text(text)
    ended = clock.elapsed()
    return Response(join(chunks), ended - started, (first or ended) - started)


def join(chunks: Iterable[types.GenerateContentResponse]) -> types.GenerateContentResponse:
    """The chunks of a stream as the one response that they are; of each field the last one."""
    from google.genai import types

    whole: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        fields = chunk.model_dump(exclude_none=True, exclude={"sdk_http_response", "parsed"})
        for candidate in fields.pop("candidates", []):
            joined = candidates.setdefault(candidate.get("index") or 0, {})
            parts = joined.get("content", {}).get("parts", [])
            for part in candidate.pop("content", {}).get("parts") or []:
                _add(parts, part)
            joined |= {**candidate, "content": {"role": "model", "parts": parts}}
        whole |= fields
    if candidates:
        whole["candidates"] = [candidates[index] for index in sorted(candidates)]
    return types.GenerateContentResponse.model_validate(whole)


def _add(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """A part behind others; a text goes on where the one before ended."""
    before = parts[-1] if parts else None
    if (
        before
        and before.keys() == part.keys() <= {"text", "thought"}
        and (before.get("thought") == part.get("thought"))
    ):
        before["text"] += part["text"]
    else:
        parts.append(part)
