"""The `serving.guardrails` section of a use case file: what may be asked, and what answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from genaiops_dagster.use_case.section import Name, Section

HarmCategory = Literal["harassment", "hate_speech", "sexually_explicit", "dangerous_content"]
BlockThreshold = Literal[
    "block_low_and_above", "block_medium_and_above", "block_only_high", "block_none"
]
TemplateName = Annotated[
    str, Field(pattern=r"^projects/[^/\s]+/locations/[^/\s]+/templates/[^/\s]+$")
]


def _compiles(pattern: str) -> str:
    import re2

    try:
        re2.compile(pattern)
    except re2.error as error:
        raise ValueError(f"not a regular expression of RE2: {error}") from error
    return pattern


def _is_schema(schema: dict[str, Any]) -> dict[str, Any]:
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON schema: {error.message}") from error
    return schema


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compiles)]
"""A regular expression of RE2, which takes time in proportion to the text, whatever the text."""

JsonSchema = Annotated[dict[str, Any], AfterValidator(_is_schema)]


class ModelArmor(Section):
    """Templates of the Model Armor service that screen prompts and answers.

    Source: https://cloud.google.com/security-command-center/docs/model-armor-vertex-integration
    """

    prompt_template: TemplateName | None = None
    response_template: TemplateName | None = None

    @model_validator(mode="after")
    def _has_one(self) -> ModelArmor:
        if self.prompt_template is None and self.response_template is None:
            raise ValueError("give prompt_template, response_template or both")
        return self


class Filters(Section):
    """The filters of the service itself."""

    safety: dict[HarmCategory, BlockThreshold] = Field(
        default_factory=dict, description="Harm categories, each with the least to block."
    )
    model_armor: ModelArmor | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Filters:
        if self.safety and self.model_armor:
            raise ValueError("the service takes safety settings or Model Armor, not both")
        return self


class TextRules(Section):
    """Rules that a text must keep; what each decided is in the row of the answer."""

    blocked_topics: dict[Name, list[str]] = Field(
        default_factory=dict, description="Words and phrases by topic, none of which may occur."
    )
    personal_data: Literal["allow", "redact", "block"] = Field(
        "allow", description="What to do with personal data and secrets."
    )
    maximum_characters: PositiveInt | None = None
    forbidden_patterns: list[Pattern] = Field(
        default_factory=list, description="Regular expressions (RE2) that must not be found."
    )
    required_patterns: list[Pattern] = Field(
        default_factory=list, description="Regular expressions (RE2) each of which must be found."
    )


class OutputRules(TextRules):
    """Rules of an answer."""

    json_schema: JsonSchema | None = Field(
        None, description="The answer must be JSON that this schema (draft 2020-12) allows."
    )


class Guardrails(Filters):
    """Rules for prompts and for answers."""

    input: TextRules = Field(default_factory=lambda: TextRules())
    output: OutputRules = Field(default_factory=lambda: OutputRules())

    @property
    def filters(self) -> Filters | None:
        """The filters that the service has to apply; None for none."""
        if not self.safety and self.model_armor is None:
            return None
        return Filters(safety=self.safety, model_armor=self.model_armor)
