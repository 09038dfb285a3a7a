"""The rows of an evaluation set, made when they are asked for: a large set is held as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from genaiops_dagster.evaluation.asking.inference import Contents
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.prompts.rendering import request_contents
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import from_line


class Examples(Sequence[Example]):
    """Examples of JSON lines.

    Args:
        lines: One example each.
    """

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Examples: ...
    def __getitem__(self, index: int | slice) -> Example | Examples:
        if isinstance(index, slice):
            return Examples(self._lines[index])
        return from_line(Example, self._lines[index])


class Questions(Sequence[Contents]):
    """What a model is asked about each example.

    Args:
        prompt: The prompt with which it is asked.
        examples: What about.
    """

    def __init__(self, prompt: PromptVersion, examples: Sequence[Example]) -> None:
        self._prompt = prompt
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    @overload
    def __getitem__(self, index: int) -> Contents: ...
    @overload
    def __getitem__(self, index: slice) -> Questions: ...
    def __getitem__(self, index: int | slice) -> Contents | Questions:
        if isinstance(index, slice):
            return Questions(self._prompt, self._examples[index])
        return request_contents(self._prompt, self._examples[index].variables)


def read_examples(store: ObjectStore, split: DatasetSplit) -> Examples:
    """Examples of an evaluation set.

    Raises:
        FileNotFoundError: the file is gone.
    """
    content = store.read(store.name_of(split.uri))
    if content is None:
        raise FileNotFoundError(f"{split.uri} does not exist; materialize evaluation_set")
    return Examples([line for line in content.splitlines() if line.strip()])
