"""The one renderer: training, evaluation and serving all ask a model through these functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genaiops_dagster.prompts.media_types import MEDIA_TYPES, media_type
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import Prompt, UseCase

if TYPE_CHECKING:
    import jinja2


CONTENTS = "contents"
"""Variable in which a row brings its own turns, in the form of the Gemini API."""


class PromptError(ValueError):
    """A template that cannot be rendered; the message names the variable or the syntax error."""


def version(prompt: Prompt | PromptVersion) -> PromptVersion:
    """The prompt with the digest of what it says.

    Raises:
        PromptError: the template is not valid Jinja2.
    """
    _compile(prompt.template)
    return PromptVersion(
        template=prompt.template,
        system_instruction=prompt.system_instruction,
        files=prompt.files,
        digest=fingerprint(prompt.template, prompt.system_instruction, prompt.files),
    )


def candidate_prompt(use_case: UseCase, candidate: str, prompt: PromptVersion) -> PromptVersion:
    """A candidate's prompt: the variant that it names, else `prompt`, the use case's own.

    Raises:
        PromptError: the variant is not valid Jinja2.
    """
    variant = use_case.candidates[candidate].prompt
    return version(use_case.prompts[variant]) if variant else prompt


def render(prompt: PromptVersion, variables: Mapping[str, Any]) -> str:
    """The user's message for one row.

    Raises:
        PromptError: the template uses a variable that the row does not have.
    """
    import jinja2

    try:
        return _compile(prompt.template).render(variables)
    except jinja2.UndefinedError as error:
        raise PromptError(
            f"prompt template: {error}; the row has: {', '.join(sorted(variables))}"
        ) from error


def request_contents(prompt: PromptVersion, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The turns that a model is asked with, as `contents` of the Gemini API.

    A row that brings its own turns in the variable `contents` is asked with these; any other row
    with one turn of the user: the files that the prompt attaches, then the rendered template.

    Raises:
        PromptError: the template uses a variable that the row does not have, or a file that is
            to be attached is not a `gs://` address with a known type.
    """
    turns = variables.get(CONTENTS)
    if isinstance(turns, list):
        return turns
    files = [file_part(name, variables.get(name)) for name in prompt.files]
    text = {"text": render(prompt, variables)}
    return [{"role": "user", "parts": [*filter(None, files), text]}]


def tuning_line(prompt: PromptVersion, variables: Mapping[str, Any], output: str) -> dict[str, Any]:
    """One example in Gemini's supervised tuning form.

    Source: https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-prepare
    """
    turns = request_contents(prompt, variables)
    line: dict[str, Any] = {"contents": [*turns, {"role": "model", "parts": [{"text": output}]}]}
    if prompt.system_instruction:
        line["systemInstruction"] = {
            "role": "system",
            "parts": [{"text": prompt.system_instruction}],
        }
    return line


def template_variables(template: str) -> list[str]:
    """Names of the variables that a template reads, sorted.

    Raises:
        PromptError: the template is not valid Jinja2.
    """
    import jinja2.meta

    _compile(template)
    return sorted(jinja2.meta.find_undeclared_variables(_environment().parse(template)))


def plain_pieces(template: str) -> list[tuple[str, bool]] | None:
    """A template of nothing but text and variables, in pieces; None for any other template.

    For bulk tools, which can put such pieces together for many rows at once.

    Returns:
        Pieces in order: a text with False, or the name of a variable with True.

    Raises:
        PromptError: the template is not valid Jinja2.
    """
    import jinja2.nodes

    _compile(template)
    pieces: list[tuple[str, bool]] = []
    for statement in _environment().parse(template).body:
        if not isinstance(statement, jinja2.nodes.Output):
            return None
        for node in statement.nodes:
            if isinstance(node, jinja2.nodes.TemplateData):
                pieces.append((node.data, False))
            elif isinstance(node, jinja2.nodes.Name):
                pieces.append((node.name, True))
            else:
                return None
    return pieces


def file_part(name: str, uri: object) -> dict[str, Any] | None:
    """`fileData` of a variable that holds an address; None where the row has no such file.

    Raises:
        PromptError: it is not a `gs://` address with a known type.
    """
    if uri is None or uri == "":
        return None
    kind = media_type(str(uri))
    if not str(uri).startswith("gs://") or kind is None:
        raise PromptError(
            f"prompt file {name!r}: expected a gs:// address with a known file extension, "
            f"found {uri!r}; known are: {', '.join(MEDIA_TYPES)}"
        )
    return {"fileData": {"fileUri": str(uri), "mimeType": kind}}


@functools.cache
def _environment() -> jinja2.Environment:
    """A sandbox in which an unknown variable is an error and an empty value renders as nothing."""
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: "" if value is None else value,
    )


@functools.lru_cache(maxsize=64)
def _compile(template: str) -> jinja2.Template:
    import jinja2

    try:
        return _environment().from_string(template)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"prompt template, line {error.lineno}: {error.message}") from error
