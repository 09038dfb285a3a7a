"""The rows of an evaluation set, made when they are asked for: a large set is held as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

from genaiops_dagster.evaluation.asking.inference import Contents
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.prompts.rendering import request_contents
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import from_line

T = TypeVar("T")


class LazyRows(Sequence[T]):
    """Rows that are made when they are asked for.

    Args:
        count: How many.
        make: Makes the row at an index.
    """

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._indexes = range(count)
        self._make = make

    def __len__(self) -> int:
        return len(self._indexes)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._make(chosen) for chosen in self._indexes[index]]
        return self._make(self._indexes[index])


def questions_of(prompt: PromptVersion, examples: Sequence[Example]) -> Sequence[Contents]:
    """The question to a model about each example."""
    return LazyRows(len(examples), lambda n: request_contents(prompt, examples[n].variables))


def read_examples(store: ObjectStore, split: DatasetSplit) -> Sequence[Example]:
    """Examples of an evaluation set.

    Raises:
        FileNotFoundError: the file is gone.
    """
    content = store.read(store.name_of(split.uri))
    if content is None:
        raise FileNotFoundError(f"{split.uri} does not exist; materialize evaluation_set")
    lines = [line for line in content.splitlines() if line.strip()]
    return LazyRows(len(lines), lambda n: from_line(Example, lines[n]))
