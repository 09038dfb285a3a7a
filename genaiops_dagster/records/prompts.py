"""The prompt asset's record."""

from __future__ import annotations

from pydantic import Field

from genaiops_dagster.records.record import Record


class PromptVersion(Record):
    """A prompt as it is used everywhere, and its digest.

    Attributes:
        template: Jinja2 template of the user's message.
        system_instruction: System instruction; empty for none.
        files: Variables whose `gs://` addresses are attached as files before the message.
        digest: sha256 over all of these.
    """

    template: str
    system_instruction: str
    files: list[str] = Field(default_factory=list)
    digest: str
